// Owns the proof of `xkit token`: what stands on stdout and stderr, the exit code, and what the platform was asked.
'use strict'

const { execFile } = require('node:child_process')
const path = require('node:path')
const { startEmulator } = require('../emulator')
const { flat, html, json, startPlatform } = require('./support/platform')
const { closedPort } = require('./support/rigs')

const COMMAND = path.join(__dirname, '..', 'bin', 'xkit.js')
const KEYS = { publishableKey: 'pk_cli_71c0aa', secretKey: 'sk_cli_9be2d4' }
const TOKEN = 'xoxb-cli-5e81'
const DOCTOR_LINE = 'xkit: `npx --no xkit doctor` checks the set-up step by step\n'

let emulator
let environment
const outputs = []

beforeEach(async () => {
  const users = { u1: { slack: { accessToken: TOKEN } } }
  emulator = await startEmulator({ ...KEYS, users })
  environment = {
    XKIT_BASE_URL: emulator.baseUrl,
    XKIT_CATALOG_URL: emulator.catalogUrl,
    XKIT_PUBLISHABLE_KEY: KEYS.publishableKey,
    XKIT_SECRET_KEY: KEYS.secretKey,
  }
})

afterEach(async () => {
  await emulator.close()
  for (const text of outputs.splice(0)) {
    expect(text).not.toMatch(/pk_cli|sk_cli/)
    expect(text).not.toContain(Buffer.from(`${KEYS.publishableKey}:${KEYS.secretKey}`).toString('base64'))
    expect(text).not.toMatch(/\n {4}at /)
  }
})

function run(args, env = {}) {
  const options = { env: { ...process.env, ...environment, ...env } }
  return new Promise(resolve => {
    execFile(process.execPath, [COMMAND, 'token', ...args], options, (error, stdout, stderr) => {
      outputs.push(stdout + stderr)
      resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}

const asked = () => emulator.requests.map(({ path, status }) => `${status} ${path}`)

describe('an active connection', () => {
  test('is its token and a newline, and nothing else', async () => {
    await expect(run(['u1', 'slack'])).resolves.toEqual({ code: 0, stdout: `${TOKEN}\n`, stderr: '' })
    expect(asked()).toEqual(['200 /api/platform/connections/u1/slack'])
  })

  test.each([
    ['group', 'groups'],
    ['context', 'contexts'],
  ])('of a %s is asked for with --%s', async (kind, segment) => {
    emulator.setConnection({ [kind]: 'acme' }, 'slack', { accessToken: `${TOKEN}-${kind}` })

    await expect(run([`--${kind}`, 'acme', 'slack'])).resolves.toEqual({
      code: 0,
      stdout: `${TOKEN}-${kind}\n`,
      stderr: '',
    })
    expect(asked()).toEqual([`200 /api/platform/${segment}/acme/connections/slack`])
  })

  test('is one JSON object with --json, token and expiry included', async () => {
    emulator.setConnection('u1', 'slack', { accessToken: TOKEN, expiresIn: 3600 })

    const { code, stdout, stderr } = await run(['u1', 'slack', '--json'])

    expect(JSON.parse(stdout)).toMatchObject({
      status: 'active',
      accessToken: TOKEN,
      slug: 'slack',
      connectorName: 'Slack',
      expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    })
    expect(stdout).toMatch(/^[^\n]+\n$/)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(emulator.requests).toHaveLength(1)
  })

  test('may have arguments that begin with a dash, behind --', async () => {
    emulator.setConnection('--json', '-5', { accessToken: TOKEN })

    await expect(run(['--', '--json', '-5'])).resolves.toEqual({ code: 0, stdout: `${TOKEN}\n`, stderr: '' })
    expect(asked()).toEqual(['200 /api/platform/connections/--json/-5'])
  })
})

describe('characters that a terminal acts upon', () => {
  // C0, C1, DEL, bidi, zero width, line separators, and one beyond the basic plane.
  const NASTY = 'a\u001b[31m\u009b31m\u007f\u202e\u200b\u2028\u{e0041}z'
  const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

  async function runAgainst(authorization, ...args) {
    const body = flat({ authorization: { access_token: TOKEN, display_label: NASTY, ...authorization } })
    const platform = await startPlatform(json(200, body))
    try {
      return await run(['u1', 'slack', ...args], { XKIT_BASE_URL: platform.baseUrl })
    } finally {
      await platform.close()
    }
  }

  test.each([
    ['of an active connection', {}, 0],
    ['of one that broke', { status: 'error', access_token: '', error_message: NASTY, error_code: NASTY }, 2],
  ])('%s are escaped in JSON, which says the same', async (_what, authorization, code) => {
    const ended = await runAgainst(authorization, '--json')
    expect(ended.code).toBe(code)
    expect(ended.stdout.slice(0, -1)).not.toMatch(INVISIBLE)
    expect(ended.stderr.replaceAll('\n', '')).not.toMatch(INVISIBLE)
    expect(JSON.parse(ended.stdout).displayLabel).toBe(NASTY)
  })

  test('in a token keep it from being printed, but as JSON', async () => {
    const token = `${TOKEN}\u202e\u{e0041}`
    const plain = await runAgainst({ access_token: token })
    expect([plain.stdout, plain.code]).toEqual(['', 1])
    expect(plain.stderr).toMatch(/^xkit: the token holds characters that a terminal does not show.*--json\n$/)
    expect(JSON.parse((await runAgainst({ access_token: token }, '--json')).stdout).accessToken).toBe(token)
  })

  test('in an argument are not repeated as they are', async () => {
    const { stderr, code } = await run(['u1', 'slack', '--\u009b31m\u202e'])
    expect(stderr).toMatch(/^xkit: [^\n]+\n$/)
    expect(stderr.slice(0, -1)).not.toMatch(INVISIBLE)
    expect(code).toBe(1)
  })
})

describe('a connection without a token', () => {
  const STATES = [
    ['not_provisioned', undefined, 'ERR_XKIT_NOT_PROVISIONED'],
    ['not_enabled', { enabled: false }, 'ERR_XKIT_NOT_ENABLED'],
    ['pending', { status: 'awaiting_callback' }, 'ERR_XKIT_PENDING'],
    ['needs_reauthorization', { status: 'error' }, 'ERR_XKIT_NEEDS_REAUTHORIZATION'],
  ]

  test.each(STATES)(
    'that is %s is the reason and the connect URL on stderr, with code 2',
    async (_, state, code) => {
      if (state) emulator.setConnection('u2', 'slack', state)

      const ended = await run(['u2', 'slack'])

      expect(ended).toMatchObject({ code: 2, stdout: '' })
      expect(ended.stderr).toMatch(/^xkit: No access token for slack: [^\n]+\n$/)
      expect(ended.stderr).toContain(`at ${emulator.catalogUrl}/connectors/slack (${code})`)
      expect(emulator.requests).toHaveLength(1)
    },
  )

  test.each(STATES)('that is %s is one JSON object with --json, and code 2', async (status, state, code) => {
    if (state) emulator.setConnection('u2', 'slack', state)

    const ended = await run(['u2', 'slack', '--json'])

    const connectUrl = `${emulator.catalogUrl}/connectors/slack`
    expect(JSON.parse(ended.stdout)).toMatchObject({ status, connectUrl })
    expect(ended.stdout).toMatch(/^[^\n]+\n$/)
    expect(ended.stderr).toContain(`(${code})\n`)
    expect(ended.code).toBe(2)
  })

  test('says what broke it in the words of the platform, as clean text', async () => {
    const errorMessage = 'revoked\n\u001b[31mby the user\u202e'
    emulator.setConnection('u2', 'slack', { status: 'error', errorCode: 'invalid_grant', errorMessage })

    const { stderr } = await run(['u2', 'slack'])

    expect(stderr.split('\n').slice(1)).toEqual([
      'xkit: the platform says: invalid_grant: revoked [31mby the user',
      '',
    ])
  })

  test('names XKIT_CATALOG_URL where there is no connect URL', async () => {
    const { code, stderr } = await run(['u2', 'slack'], { XKIT_CATALOG_URL: '' })

    expect(stderr).toMatch(/^xkit: No access token for slack: [^\n]+\nxkit: set XKIT_CATALOG_URL [^\n]+\n$/)
    expect(stderr).not.toContain('http')
    expect(code).toBe(2)
  })
})

describe('a failure is said in two lines on stderr, with code 1:', () => {
  async function failure(args, env) {
    const { code, stdout, stderr } = await run(args, env)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^xkit: [^\n]+\n/)
    expect(stderr.replace(/^[^\n]*\n/, '')).toBe(DOCTOR_LINE)
    return stderr.split('\n', 1)[0]
  }

  test('a missing key', async () => {
    const line = await failure(['u1', 'slack'], { XKIT_SECRET_KEY: '' })

    expect(line).toMatch(/XKIT_SECRET_KEY.*\(ERR_XKIT_MISSING_CREDENTIALS\)$/)
    expect(emulator.requests).toEqual([])
  })

  test('wrong keys, with the request id', async () => {
    const line = await failure(['u1', 'slack'], { XKIT_SECRET_KEY: 'sk_cli_other' })

    expect(line).toMatch(/answered 401: .*\(ERR_XKIT_INVALID_API_KEY; request id emulated-request-1\)$/)
    expect(asked()).toEqual(['401 /api/platform/connections/u1/slack'])
  })

  test('a platform that is down', async () => {
    emulator.failNext({ status: 503, times: 3 })

    await expect(failure(['u1', 'slack'])).resolves.toMatch(/answered 503: .*\(ERR_XKIT_SERVER; /)
    expect(emulator.requests).toHaveLength(3)
  })

  test('an answer that does not come within --timeout', async () => {
    emulator.failNext({ fault: 'stall', times: 10 })

    await expect(failure(['u1', 'slack', '--timeout', '60'])).resolves.toMatch(/ERR_XKIT_TIMEOUT/)
  })

  test('a refused connection, with its cause', async () => {
    const XKIT_BASE_URL = `http://127.0.0.1:${await closedPort()}`

    const line = await failure(['u1', 'slack', '--json'], { XKIT_BASE_URL })

    expect(line).toMatch(/^xkit: No connection to http:\S+: .* \(ERR_XKIT_CONNECT; .*refused/i)
  })

  test.each([
    ['a page', html(200), /ERR_XKIT_INVALID_RESPONSE/],
    ['an error in place of a connection', json(200, { error: TOKEN }), /ERR_XKIT_INVALID_RESPONSE/],
    ['a request id that draws', { ...html(403), headers: { 'x-request-id': 'a\tb' } }, /ERR_XKIT_FORBIDDEN/],
  ])('%s', async (_what, answer, expected) => {
    const platform = await startPlatform(answer)
    try {
      const line = await failure(['u1', 'slack'], { XKIT_BASE_URL: platform.baseUrl })
      expect(line).toMatch(expected)
      expect(line).not.toMatch(new RegExp(`${TOKEN}|html-body-marker|\\p{Cc}`, 'u'))
    } finally {
      await platform.close()
    }
  })
})

test('a setting that the client refuses is one line, without the value', async () => {
  const { code, stdout, stderr } = await run(['u1', 'slack'], {
    XKIT_BASE_URL: 'https://u:hunter2@h.invalid',
  })

  expect(stderr).toMatch(/^xkit: [^\n]*XKIT_BASE_URL[^\n]* \(ERR_INVALID_ARG_VALUE\)\n$/)
  expect(stderr).not.toMatch(/hunter2|h\.invalid/)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

describe('--emulator', () => {
  test('needs no keys, says that the token is made up, and asks nobody else', async () => {
    const env = { XKIT_PUBLISHABLE_KEY: '', XKIT_SECRET_KEY: '' }

    const { code, stdout, stderr } = await run(['u7', 'github', '--emulator'], env)

    expect(stdout).toMatch(/^emulated-token-\S+\n$/)
    expect(stderr).toBe('xkit: this asks an embedded emulator, so the token is made up\n')
    expect(code).toBe(0)
    expect(emulator.requests).toEqual([])
  })

  test.each(['user', 'group', 'context'])('knows the %s it is asked for', async kind => {
    const flags = kind === 'user' ? [] : [`--${kind}`]
    const nonsense = [
      'XKIT_BASE_URL',
      'XKIT_CATALOG_URL',
      'XKIT_USER_PATH',
      'XKIT_GROUP_PATH',
      'XKIT_CONTEXT_PATH',
      'HTTPS_PROXY',
    ]
    const env = Object.fromEntries(nonsense.map(name => [name, 'nonsense']))

    const { code, stdout } = await run([...flags, '__proto__', 'slack', '--json', '--emulator'], env)

    expect(JSON.parse(stdout)).toMatchObject({ status: 'active', accessToken: expect.any(String) })
    expect(code).toBe(0)
  })
})

test.each([
  ['no argument', [], /takes two arguments, a user's id/],
  ['one argument', ['u1'], /takes two arguments/],
  ['three arguments', ['u1', 'slack', 'sk_stray'], /takes two arguments/],
  ['a group without a slug', ['--group', 'acme'], /a group's id/],
  ['two kinds of owner', ['--group', '--context', 'acme', 'slack'], /--group and --context exclude/],
  ['an unknown option', ['u1', 'slack', '--sk_stray=sk_stray2'], /unknown option '--sk_stray';.* behind --/],
  ['a value for a flag', ['u1', 'slack', '--json=sk_stray'], /--json/],
  ['--timeout without a value', ['u1', 'slack', '--timeout'], /--timeout/],
  ['--timeout with a flag behind it', ['u1', 'slack', '--timeout', '--json'], /--timeout/],
  ['--timeout 0', ['u1', 'slack', '--timeout', '0'], /--timeout must be .* from 1 to 2147483647/],
  ['--timeout with a word', ['u1', 'slack', '--timeout', '5s'], /--timeout must/],
  ['--timeout beyond a timer', ['u1', 'slack', '--timeout', '2147483648'], /--timeout must/],
  ['a dot segment', ['..', 'slack'], /the user's id must not be a dot segment/],
  ['an empty slug', ['u1', ''], /the slug must not be empty/],
  ['a long id for the emulator', ['--emulator', 'x'.repeat(1025), 'slack'], /not be longer than 1024 bytes/],
])('the wrong usage "%s" is one line on stderr and code 1', async (_what, args, reason) => {
  const { code, stdout, stderr } = await run(args)

  expect(stderr).toMatch(/^xkit: [^\n]+ \(see xkit token --help\)\n$/)
  expect(stderr).toMatch(reason)
  expect(stderr.replace('--sk_stray', '')).not.toMatch(/sk_stray|xxxx/)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(emulator.requests).toEqual([])
})
