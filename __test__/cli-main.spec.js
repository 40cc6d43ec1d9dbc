// Owns the proof of the command xkit as a whole: help, version, wrong usage, and readers that leave early.
'use strict'

const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { promisify } = require('node:util')
const { startEmulator } = require('../emulator')
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

describe('--env-file', () => {
  let emulator
  let folder
  let file

  beforeAll(async () => {
    emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-of-file' } } } })
    folder = mkdtempSync(path.join(tmpdir(), 'xkit-env-file-'))
    file = path.join(folder, '.env')
    const { baseUrl, publishableKey, secretKey } = emulator
    writeFileSync(
      file,
      `# of this project\nXKIT_BASE_URL=${baseUrl}\nXKIT_PUBLISHABLE_KEY="${publishableKey}"\nXKIT_SECRET_KEY=${secretKey}\n`,
    )
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true })
    await emulator.close()
  })

  const places = [
    ['before the command', () => ['--env-file', file, 'token', 'u1', 'slack']],
    ['before it with =', () => [`--env-file=${file}`, 'token', 'u1', 'slack']],
    ['behind it', () => ['token', 'u1', 'slack', '--env-file', file]],
  ]

  test.each(places)('%s gives the command its keys', async (_where, args) => {
    await expect(run(args())).resolves.toEqual({ code: 0, stdout: 'xoxb-of-file\n', stderr: '' })
  })

  test('leaves a variable that is set as it is', async () => {
    const { code, stderr } = await run(['--env-file', file, 'token', 'u1', 'slack'], {
      XKIT_SECRET_KEY: 'other',
    })
    expect([code, stderr]).toEqual([1, expect.stringContaining('ERR_XKIT_INVALID_API_KEY')])
  })

  test('may be repeated, and the first file that names a variable counts', async () => {
    const second = path.join(folder, 'second.env')
    writeFileSync(second, 'XKIT_SECRET_KEY=other\n')
    const { code } = await run(['--env-file', file, '--env-file', second, 'token', 'u1', 'slack'])
    expect(code).toBe(0)
    const { stderr } = await run(['--env-file', second, `--env-file=${file}`, 'token', 'u1', 'slack'])
    expect(stderr).toContain('ERR_XKIT_INVALID_API_KEY')
  })

  test('without a file is one line on stderr and code 1', async () => {
    const { code, stdout, stderr } = await run(['--env-file'])
    expect(stderr).toMatch(/^xkit: --env-file needs the name of a file [^\n]+\n$/)
    expect([code, stdout]).toEqual([1, ''])
  })

  // Node itself may look for the file before the command does, and says so in its own words.
  test.each([
    ['before the command', ['--env-file', 'nowhere.env', 'token', 'u1', 'slack']],
    ['behind it', ['token', 'u1', 'slack', '--env-file', 'nowhere.env']],
  ])('with a file that is not there, %s, fails by one line', async (_where, args) => {
    const { code, stdout, stderr } = await run(args)
    expect(stderr).toMatch(/^[^\n]+\n$/)
    expect(stderr).toMatch(/ENOENT|not found/)
    expect([code > 0, stdout]).toEqual([true, ''])
  })

  // There, npx is a script of the shell, and a link to a command is one too.
  const withNpx = process.platform === 'win32' ? test.skip : test
  withNpx('and the flags of the emulator reach the commands through npx, as the docs write it', async () => {
    const bin = path.join(folder, 'node_modules', '.bin')
    mkdirSync(bin, { recursive: true })
    symlinkSync(COMMAND, path.join(bin, 'xkit'))
    symlinkSync(path.join(path.dirname(COMMAND), 'xkit-emulator.js'), path.join(bin, 'xkit-emulator'))
    writeFileSync(path.join(folder, 'package.json'), '{}')
    const npx = async (...args) => (await promisify(execFile)('npx', args, { cwd: folder })).stdout

    expect(await npx('--no', 'xkit', 'token', 'u1', 'slack', '--env-file', '.env')).toBe('xoxb-of-file\n')
    expect(await npx('--no', '--', 'xkit-emulator', '--help')).toMatch(/^Usage: xkit-emulator/)
  })
})
