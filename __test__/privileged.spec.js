// A program that has more rights than whoever started it: what we ignore there is what Node ignores there. It takes root to make
// one, and a Linux for file capabilities.

const { execFileSync, spawnSync } = require('node:child_process')
const { chmodSync, constants, copyFileSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')

const NOBODY = 65_534
const canGrant =
  process.platform === 'linux' && process.getuid() === 0 && spawnSync('setcap', ['-h']).error === undefined
const asRoot = canGrant ? test : test.skip

// Nobody else may read where the package is.
const SCRIPT = `
  const { nodeVariable, variable } = require('./environment.js')
  const isHonoured = nodeVariable('NODE_EXTRA_CA_CERTS') !== undefined
  console.log(JSON.stringify({ node: process.title === 'told', ours: isHonoured, xkit: variable('XKIT_BASE_URL') }))`

let folder
let program

beforeAll(() => {
  if (!canGrant) return
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-privileged-'))
  chmodSync(folder, 0o755)
  program = path.join(folder, 'program')
  copyFileSync(process.execPath, program, constants.COPYFILE_FICLONE)
  for (const name of ['checks.js', 'environment.js']) {
    copyFileSync(path.join(__dirname, '../lib', name), path.join(folder, name))
  }
  writeFileSync(path.join(folder, 'script.js'), SCRIPT)
})

afterAll(() => {
  if (canGrant) rmSync(folder, { recursive: true })
})

function run() {
  const stdout = execFileSync(program, [path.join(folder, 'script.js')], {
    encoding: 'utf8',
    uid: NOBODY,
    gid: NOBODY,
    env: {
      NODE_OPTIONS: '--title=told',
      NODE_EXTRA_CA_CERTS: '/nowhere.pem',
      XKIT_BASE_URL: 'https://x.test',
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return JSON.parse(stdout)
}

asRoot.each([
  ['an ordinary program', 0o755, undefined, true],
  ['one that may bind low ports', 0o755, 'cap_net_bind_service+ep', true],
  ['one that may send raw packets', 0o755, 'cap_net_raw+ep', false],
  ['one that may do both', 0o755, 'cap_net_raw,cap_net_bind_service+ep', false],
  ['a setuid program', 0o4755, undefined, false],
  ['a setgid program', 0o2755, undefined, false],
])('%s honours what Node honours in it', (_, mode, capabilities, isHonoured) => {
  chmodSync(program, mode)
  spawnSync('setcap', ['-r', program])
  if (capabilities !== undefined) execFileSync('setcap', [capabilities, program])
  expect(run()).toEqual({ node: isHonoured, ours: isHonoured, xkit: 'https://x.test' })
})
