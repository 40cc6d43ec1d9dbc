// Owns the proof of the demo: it shows every step, gives no token away, and fails loudly when something is off.
'use strict'

const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const DEMO = path.join(ROOT, 'demo', 'demo.js')

function run(...args) {
  // A set-up of the reader's own, with real keys in it, must not be what the demo talks to.
  const env = {
    ...process.env,
    XKIT_BASE_URL: 'https://platform.invalid',
    XKIT_SECRET_KEY: 'sk_of_the_reader',
  }
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    env,
    encoding: 'utf8',
  })
  return { status, signal, stdout, stderr }
}

/** The lines below a title, without the indentation. */
function section(stdout, title) {
  const [, text] = stdout.split(new RegExp(`^\\d+\\. ${title}$`, 'm'))
  return text
    .split(/^\d+\. /m, 1)[0]
    .split('\n')
    .flatMap(line => line.trim() || [])
}

describe('a run', () => {
  let demo
  beforeAll(() => {
    demo = run(DEMO)
  })

  test('ends by itself, with exit code 0 and without a word on stderr', () => {
    expect(demo).toMatchObject({ status: 0, signal: null, stderr: '' })
    expect(demo.stdout).toMatch(/\nEverything went as expected\.\n$/)
  })

  test('shows the steps in their order', () => {
    expect(demo.stdout.match(/^\d+\. .+$/gm)).toEqual([
      "1. A user's token",
      "2. A group's token",
      '3. A connection that the user has not enabled',
      '4. A connection that needs repair',
      '5. An owner that nobody provisioned',
      '6. An outage of the platform',
    ])
  })

  test('shows the token of a user and of a group', () => {
    expect(section(demo.stdout, "A user's token")).toEqual([
      "> await getAccessToken('some-user-id', 'slack')",
      'token      xoxb........',
    ])
    expect(section(demo.stdout, "A group's token")).toEqual([
      "> await getGroupAccessToken('acme', 'slack')",
      'token      xoxp........',
    ])
  })

  test('shows where to enable a connection, and that the same call works afterwards', () => {
    expect(section(demo.stdout, 'A connection that the user has not enabled')).toEqual([
      '> const xkit = new XkitClient()',
      "> await xkit.getConnection('some-user-id', 'github')",
      'status     not_enabled',
      expect.stringMatching(/^connectUrl http:\/\/127\.0\.0\.1:\d+\/connectors\/github$/),
      'The user goes to connectUrl and enables it. Then the same call works:',
      "> await xkit.getConnection('some-user-id', 'github')",
      'status     active',
      'token      gho_........',
    ])
  })

  test('shows what is broken and where to repair it, as a state and as an error', () => {
    expect(section(demo.stdout, 'A connection that needs repair')).toEqual(
      expect.arrayContaining([
        'status     needs_reauthorization',
        'errorCode  revoked',
        'error      ConnectionUnavailableError',
        'code       ERR_XKIT_NEEDS_REAUTHORIZATION',
        expect.stringMatching(/^connectUrl http:\/\/127\.0\.0\.1:\d+\/connectors\/salesforce$/),
      ]),
    )
  })

  test('shows an owner that nobody provisioned', () => {
    expect(section(demo.stdout, 'An owner that nobody provisioned')).toContain(
      'code       ERR_XKIT_NOT_PROVISIONED',
    )
  })

  test('shows an outage as a retryable error, and never as a connection to repair', () => {
    const outage = section(demo.stdout, 'An outage of the platform')
    expect(outage).toEqual(
      expect.arrayContaining([
        'error      XkitApiError',
        'code       ERR_XKIT_SERVER',
        'retryable  true',
        'token      xoxb........',
      ]),
    )
    expect(outage.join('\n')).not.toMatch(/ConnectionUnavailable|REAUTHORIZATION|connectUrl/)
  })

  test('prints no token and no key beyond the first four characters of a token', () => {
    const source = readFileSync(DEMO, 'utf8')
    const tokens = Array.from(source.matchAll(/accessToken: '([^']+)'/g), ([, token]) => token)
    expect(tokens).toHaveLength(3)
    for (const token of tokens) expect(demo.stdout).not.toContain(token.slice(0, 5))
    expect(demo.stdout).not.toMatch(/sk_/)
  })
})

test('a surprise is one clear line on stderr and exit code 1', () => {
  const sabotage = `
    const emulator = require('./emulator')
    const { startEmulator } = emulator
    emulator.startEmulator = ({ users }) => startEmulator({ users })
    require(${JSON.stringify(DEMO)})`
  const demo = run('--eval', sabotage)
  expect(demo).toMatchObject({ status: 1, signal: null })
  expect(demo.stderr).toMatch(
    /^\nThe demo met a surprise: expected token xoxp\.{8}, got error ConnectionUnavailableError, [^\n]+\n$/,
  )
  expect(demo.stdout).not.toContain('Everything went as expected')
})
