// Owns the proof of the command xkit as a whole: help, version, wrong usage, and readers that leave early.
'use strict'

const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { version } = require('../package.json')

const COMMAND = path.join(__dirname, '..', 'bin', 'xkit.js')

function run(args, env = {}) {
  const options = { env: { ...process.env, ...env } }
  return new Promise(resolve => {
    execFile(process.execPath, [COMMAND, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}

test.each([['--help'], ['-h'], ['help'], ['help', 'help'], ['help', 'sk_stray']])(
  '%s %s names the commands',
  async (...words) => {
    const { code, stdout, stderr } = await run(words.filter(word => typeof word === 'string'))

    expect(stdout).toMatch(/^Usage: xkit <command>.*\bxkit token <user> <slug>.*\bxkit doctor\b/s)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  },
)

test('without a command, the usage is on stderr, where no script takes it for a token', async () => {
  const { stdout: help } = await run(['--help'])
  await expect(run([])).resolves.toEqual({ code: 1, stdout: '', stderr: help })
})

test.each(['--version', '-v', 'version'])('%s is that of the package', async word => {
  await expect(run([word])).resolves.toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})

test.each([
  ['token', ['--group', '--context', '--json', '--timeout', '--emulator']],
  ['doctor', ['--user', '--group', '--context', '--slug']],
])('%s --help names its options', async (command, flags) => {
  const { code, stdout, stderr } = await run([command, '--help'])

  await expect(run([command, '-h'])).resolves.toEqual({ code, stdout, stderr })
  await expect(run(['help', command])).resolves.toEqual({ code, stdout, stderr })
  expect(stdout).toMatch(new RegExp(`^Usage: xkit ${command}`))
  for (const flag of flags) expect(stdout).toContain(`  ${flag}`)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})

test.each(['--help', '-h', 'help', '--version', '-v', 'version'])(
  '%s works where the addon does not load',
  async flag => {
    const { code, stderr } = await run([flag], { NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/addon.node' })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  },
)

test.each([
  ['an unknown command', ['sk_stray'], 'no such command'],
  ['a name that every object has', ['constructor'], 'no such command'],
  ['an unknown option', ['--sk_stray'], 'no such command'],
  ['an unknown short option', ['-x'], 'no such command'],
])('%s is one line on stderr and code 1', async (_what, args, reason) => {
  await expect(run(args)).resolves.toEqual({
    code: 1,
    stdout: '',
    stderr: `xkit: ${reason} (see xkit --help)\n`,
  })
})

test.each([
  ['help', ['--help'], 0],
  ['a token', ['token', 'u1', 'slack', '--emulator'], 0],
  ['a report', ['doctor'], 1],
])('a reader of %s that leaves early is no failure of its own', async (_what, args, expected) => {
  // Refused at once by the base URL check, so that no report reaches for the network.
  const env = { ...process.env, XKIT_BASE_URL: 'http://example.invalid' }
  const child = spawn(process.execPath, [COMMAND, ...args], { env })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr += text
  })
  child.stdout.destroy()
  const [code, signal] = await once(child, 'close')

  expect(stderr).not.toMatch(/EPIPE|cannot write|at .*\.js/)
  expect({ code, signal }).toEqual({ code: expected, signal: null })
})
