// Owns what is promised of the tokens that JavaScript keeps for a moment, so that a cached one is there at once.
'use strict'

const { XkitClient } = require('..')
const { answer, startServer } = require('./support/http-rigs')
const { KEYS, activeBody, closeRigs, startChild } = require('./support/rigs')

/** What the platform posts. */
const webhook = (type, owner) => ({
  event_type: type,
  payload: { connector: { slug: 'slack' }, context: { external_id: owner } },
})

const TOKEN_PREFIX = 'token-of-'

afterEach(closeRigs)

/** A platform and a client with a cache of so many entries, which asks for the token of each owner in turn. */
async function start(maxEntries) {
  const platform = await startServer({ handler: answer })
  const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl, cache: { maxEntries } })
  const ask = async (...owners) => {
    for (const owner of owners) await client.getAccessToken(owner, 'slack')
  }
  return { platform, client, ask }
}

const USER = 'a'
const GROUP = { group: 'a' }
const CONTEXT = { context: 'a' }

// Each list ends with an owner that the cache has no room for any more.
test.each([
  [1, 'the other is fetched', [USER, USER, 'b', USER]],
  [1, 'the other is leased too', [USER, USER, 'b', 'b', USER]],
  [1, 'the other is of another kind', [USER, USER, GROUP, USER]],
  [2, 'the kinds are counted together', [USER, USER, GROUP, GROUP, CONTEXT, USER]],
  [2, 'only one is leased', [USER, USER, 'b', 'c', USER]],
])(
  'no more than maxEntries owners are served without a request: %i, and %s',
  async (maxEntries, _what, owners) => {
    const { platform, ask } = await start(maxEntries)
    await ask(...owners.slice(0, -1))
    const before = platform.requests.entries.length

    await ask(owners.at(-1))

    expect(platform.requests.entries.length).toBe(before + 1)
  },
)

test('an owner whose connection was looked at counts too', async () => {
  const { platform, client, ask } = await start(1)
  await ask(USER, USER)
  await client.getConnection('b', 'slack')

  await ask(USER)

  expect(platform.requests.entries.length).toBe(3)
})

test('as many as maxEntries are served without a request', async () => {
  const { platform, client, ask } = await start(3)
  const owners = [USER, GROUP, CONTEXT]

  await ask(...owners, ...owners, ...owners)

  expect(platform.requests.entries.length).toBe(3)
  expect(client.stats()).toMatchObject({ calls: 9, cacheHits: 6, cacheMisses: 3 })
})

test.each([
  ['a string', USER],
  ['{ user }', { user: USER }],
  ['{ group }', GROUP],
  ['{ context }', CONTEXT],
])('a cached token of %s is served without a native call', async (_what, owner) => {
  const call = jest.spyOn(require('../lib/native.js').binding, 'call')
  const { ask, client } = await start(10)
  await ask(owner, owner)
  const before = call.mock.calls.length

  await ask(owner, owner, owner)

  expect(call.mock.calls.length).toBe(before)
  expect(client.stats()).toMatchObject({ calls: 5, cacheHits: 4, cacheMisses: 1 })
  call.mockRestore()
})

test('the tokens of several owners are served without a native call', async () => {
  const call = jest.spyOn(require('../lib/native.js').binding, 'call')
  const { ask } = await start(10)
  await ask(USER, 'b', USER, 'b')
  const before = call.mock.calls.length

  await ask(USER, 'b')

  expect(call.mock.calls.length).toBe(before)
  call.mockRestore()
})

test.each([
  ['before the package was loaded', true],
  ['after the package was loaded', false],
])('a clock that was frozen %s makes no token last longer', async (_what, isEarly) => {
  const platform = await startServer({ handler: answer })
  async function script({ root, keys, baseUrl, isEarly }) {
    const { performance } = require('node:perf_hooks')
    const { setTimeout } = require('node:timers/promises')
    const freeze = () => {
      const at = Date.now()
      Date.now = () => at
      globalThis.Date = class extends Date {
        static now = () => at
      }
      globalThis.performance = { now: () => 0 }
      process.hrtime = () => [0, 0]
    }
    if (isEarly) freeze()
    const { XkitClient } = require(root)
    if (!isEarly) freeze()
    const client = new XkitClient({ ...keys, baseUrl, cache: { ttlMs: 300 } })
    for (let call = 0; call < 2; call++) await client.getAccessToken('u1', 'slack')
    const begin = performance.now()
    // Not one timer of 300 ms, which may be a moment early.
    while (performance.now() - begin < 400) await setTimeout(10)
    await client.getAccessToken('u1', 'slack')
    console.log(client.stats().requests)
  }

  const { stdout, stderr } = await startChild(script, { baseUrl: platform.baseUrl, isEarly }).ended

  expect(stderr).toBe('')
  expect(Number(stdout)).toBeGreaterThanOrEqual(2)
})

test.each([
  ['an invalidation', client => client.invalidate(USER, 'slack')],
  ['a webhook', client => client.handleWebhook(webhook('connection.disabled', USER))],
  ['a fresh call', client => client.getAccessToken(USER, 'slack', { fresh: true })],
  ['a fresh look', client => client.getConnection(USER, 'slack', { fresh: true })],
])('%s ends a lease', async (_what, act) => {
  let round = 0
  const platform = await startServer({
    handler: (_request, response) => response.end(activeBody(`token-${round++}`)),
  })
  const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl, cache: true })
  for (let call = 0; call < 3; call++) await client.getAccessToken(USER, 'slack')

  await act(client)

  await expect(client.getAccessToken(USER, 'slack')).resolves.toBe('token-1')
})

test('a token that the platform withdrew is not served again, whoever learnt it', async () => {
  let isActive = true
  const platform = await startServer({
    handler: (_request, response) =>
      response.end(isActive ? activeBody('a-token') : '{"connection":{"enabled":false}}'),
  })
  const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl, cache: true })
  for (let call = 0; call < 3; call++) await client.getAccessToken(USER, 'slack')
  isActive = false

  await client.getConnection(USER, 'slack', { fresh: true })

  await expect(client.getAccessToken(USER, 'slack')).rejects.toMatchObject({ code: 'ERR_XKIT_NOT_ENABLED' })
})

describe('in the heap of JavaScript', () => {
  /** Prints how many tokens are in the heap, first at once, then when there are none. */
  async function script({ root, keys, baseUrl, prefix, maxEntries, owners, isClosed }) {
    const { text } = require('node:stream/consumers')
    const { setImmediate: turn } = require('node:timers/promises')
    const { getHeapSnapshot } = require('node:v8')
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, cache: { maxEntries } })
    const countTokens = async () => {
      const { strings } = JSON.parse(await text(getHeapSnapshot()))
      return strings.filter(string => string.startsWith(prefix) && string !== prefix).length
    }
    for (let owner = 0; owner < owners; owner++) {
      for (let call = 0; call < 2; call++) await client.getAccessToken(`u${owner}`, 'slack')
    }
    if (isClosed) await client.close()
    await turn()
    console.log(await countTokens())
    while ((await countTokens()) > 0) await turn()
    console.log('none')
  }

  async function tokensLeft(input) {
    const { baseUrl } = await startServer({ handler: answer })
    const child = startChild(script, { baseUrl, prefix: TOKEN_PREFIX, ...input })
    const { code, stdout, stderr } = await child.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [count, end] = stdout.trim().split('\n')
    expect(end).toBe('none')
    return Number(count)
  }

  test('are the tokens of at most maxEntries owners, and soon none', async () => {
    const count = await tokensLeft({ maxEntries: 50, owners: 500 })
    expect(count).toBeGreaterThan(0)
    expect(count).toBeLessThanOrEqual(50)
  })

  test('is none of a client that was closed', async () => {
    await expect(tokensLeft({ maxEntries: 50, owners: 20, isClosed: true })).resolves.toBe(0)
  })
})
