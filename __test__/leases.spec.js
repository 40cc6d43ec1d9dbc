// Owns what is promised of the tokens that JavaScript keeps for a moment, so that a cached one is there at once.
'use strict'

const { XkitClient } = require('..')
const { answer, startServer } = require('./support/http-rigs')
const { KEYS, closeRigs, startChild } = require('./support/rigs')

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
    const count = await tokensLeft({ maxEntries: 50, owners: 5000 })
    expect(count).toBeGreaterThan(0)
    expect(count).toBeLessThanOrEqual(50)
  }, 60_000)

  test('is none of a client that was closed', async () => {
    await expect(tokensLeft({ maxEntries: 50, owners: 20, isClosed: true })).resolves.toBe(0)
  })
})
