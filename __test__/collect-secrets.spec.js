// The collector of secrets runs with every test file. Here it is shown what it is there to find.
'use strict'

const { execFile, spawnSync } = require('node:child_process')
const { promisify } = require('node:util')
const { XkitClient, isXkitError } = require('..')
const { invalidValue, requireOneOf } = require('../lib/checks.js')
const { toConnection, toError } = require('../lib/errors.js')
const { search, watchConsole, watchStream } = require('./support/collect-secrets.js')
const { announcePassword, announceToken } = require('./support/known-secrets.js')
const { failureOf, flat, json, startPlatform } = require('./support/platform')

const CONNECT = { className: 'XkitNetworkError', code: 'ERR_XKIT_CONNECT' }
const SERVER = { className: 'XkitApiError', code: 'ERR_XKIT_SERVER' }
const PENDING = { className: 'ConnectionUnavailableError', code: 'ERR_XKIT_PENDING', message: 'x' }
const PASSWORD = 'hunter2-5e0d'
const TOKEN = 'xoxb-collected-7f3a'
announcePassword(PASSWORD)
announceToken(TOKEN)

const print = text => ['-e', `process.stdout.write(${text})`]
const complain = text => ['-e', `process.stderr.write(${text})`]
const run = args => promisify(execFile)(process.execPath, args)
/** As an expression, so that the command line of a child does not hold it. */
const spelled = secret => `String.fromCharCode(${Array.from(secret, letter => letter.charCodeAt(0))})`

describe('a secret is found', () => {
  afterEach(() => {
    // Found once, or it would fail these tests.
    expect(search()).toEqual([])
  })

  test.each([
    ['the message of an error', () => toError({ ...CONNECT, message: `it is ${PASSWORD}` })],
    ['the cause of an error', () => toError({ ...CONNECT, message: 'x', cause: btoa(PASSWORD) })],
    ['a field of an error', () => toError({ ...SERVER, message: 'x', requestId: TOKEN })],
    ['the connection of an error', () => toError(PENDING, { status: 'pending', displayLabel: TOKEN })],
    ['a refusal that is made', () => invalidValue(encodeURIComponent(PASSWORD))],
    ['a connection', () => toConnection({ status: 'active', accessToken: TOKEN, displayLabel: TOKEN })],
  ])('in %s', (_where, make) => {
    make()

    expect(search()).not.toEqual([])
  })

  test('in a refusal that is thrown', () => {
    expect(() => requireOneOf('x', 'y', [TOKEN])).toThrow()

    expect(search()).not.toEqual([])
  })

  test('in an error that a call ends in, by a token that only its answer named', async () => {
    const token = 'xoxb-seen-by-nobody-else'
    const authorization = { status: 'error', access_token: token, error_message: `${token} is revoked` }
    const platform = await startPlatform(json(200, flat({ authorization })))
    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))
    await platform.close()

    expect(isXkitError(error)).toBe(true)
    expect(search()).not.toEqual([])
  })

  test.each([
    ['a key', { secretKey: 'sk_of_this_test_only' }, 'sk_of_this_test_only'],
    ['a pair of keys', { publishableKey: 'pk_one', secretKey: 'sk_two' }, btoa('pk_one:sk_two')],
    ['a password of a proxy', { proxy: 'http://me:swordfish-99@127.0.0.1:1' }, 'swordfish-99'],
    ['an encoded password of a proxy', { proxy: 'http://me:sword%2Ffish@127.0.0.1:1' }, 'sword/fish'],
  ])('that a client was given: %s', (_what, options, secret) => {
    new XkitClient({ publishableKey: 'pk_fake', secretKey: 'sk_fake', ...options })
    toError({ ...CONNECT, message: secret })

    expect(search()).not.toEqual([])
  })

  // The real ones are watched alike, and would print it.
  test.each([
    ['a text', TOKEN],
    ['a field deep in it', { deep: [new Error(TOKEN)] }],
    ['a cause', new Error('x', { cause: PASSWORD })],
  ])('in what is handed to a console: %s', (_what, value) => {
    const console = { __proto__: globalThis.console, error: () => {} }
    watchConsole(console)
    console.error(value)

    expect(search()).not.toEqual([])
  })

  test('in what is written to a stream', () => {
    const stream = { write: () => true }
    watchStream(stream)

    expect(stream.write(Buffer.from(`it is ${TOKEN}\n`))).toBe(true)
    expect(search()).not.toEqual([])
  })

  test.each([
    ['a key on stdout', () => run(print(spelled(PASSWORD)))],
    ['a key on stderr', () => run(complain(spelled(PASSWORD)))],
    ['a token on stderr', () => run(complain(spelled(TOKEN)))],
    ['a token on stderr, waited for', () => spawnSync(process.execPath, complain(spelled(TOKEN)))],
  ])('that a child process prints: %s', async (_what, print) => {
    await print()

    expect(search()).not.toEqual([])
  })
})

test('a token that a child process prints as its result is no finding', async () => {
  await run(print(spelled(TOKEN)))

  expect(search()).toEqual([])
})

test('an error without a secret is no finding', () => {
  toError({ ...CONNECT, message: 'No connection' })

  expect(search()).toEqual([])
})
