// Owns what callers see of shared requests and of the cache; what takes minutes is tested in the core, by its clocks.
'use strict'

const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')
const { failureOf, flat, gate, json, startPlatform } = require('./support/platform')

const tokenOf = ({ url }) => `token-of-${url.split('/').at(-2)}`
const answer = request => json(200, flat({ authorization: { access_token: tokenOf(request) } }))

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

describe('identical calls at once', () => {
  test.each([50, 10_000])('share one request, %i of them', async calls => {
    platform.replyWith(answer)
    // The platform of a test answers from the thread that makes the calls, which a busy machine can hold up for seconds.
    const client = platform.client({ timeoutMs: 100_000, attemptTimeoutMs: 100_000 })

    const tokens = await Promise.all(
      Array.from({ length: calls }, () => client.getAccessToken('u1', 'slack')),
    )

    expect(new Set(tokens)).toEqual(new Set(['token-of-u1']))
    expect(platform.requests).toHaveLength(1)
    expect(client.stats()).toMatchObject({ calls, requests: 1, coalesced: calls - 1 })
  })

  test('are not those of another kind of owner, id, slug or client', async () => {
    platform.replyWith(answer)
    const [client, other] = [platform.client(), platform.client()]

    await Promise.all([
      client.getAccessToken('1', 'slack'),
      client.getAccessToken({ group: '1' }, 'slack'),
      client.getAccessToken({ context: '1' }, 'slack'),
      client.getAccessToken('1', 'github'),
      client.getAccessToken('2', 'slack'),
      other.getAccessToken('1', 'slack'),
    ])

    expect(platform.requests).toHaveLength(6)
  })

  test('go on when the first caller aborts', async () => {
    const { open, step } = gate(json(200, flat()))
    platform.replyWith(step)
    const client = platform.client()
    const first = new AbortController()
    const arrived = platform.nextRequest()
    const aborted = failureOf(client.getAccessToken('u1', 'slack', { signal: first.signal }))
    const others = Array.from({ length: 49 }, () => client.getAccessToken('u1', 'slack'))
    await arrived

    first.abort()
    expect(await aborted).toBe(first.signal.reason)
    open()

    expect(new Set(await Promise.all(others)).size).toBe(1)
    expect(platform.requests).toHaveLength(1)
  })

  test('get an error of their own each when the shared request fails, and the next call asks again', async () => {
    platform.replyWith(json(403, {}), json(200, flat()))
    const client = platform.client()

    const errors = await Promise.all([1, 2, 3].map(() => failureOf(client.getAccessToken('u1', 'slack'))))

    expect(new Set(errors).size).toBe(3)
    expect(errors.map(({ code }) => code)).toEqual(Array(3).fill('ERR_XKIT_FORBIDDEN'))
    await client.getAccessToken('u1', 'slack')
    expect(platform.requests).toHaveLength(2)
  })

  test('end at once where the platform asks for a wait beyond their own limit, as alone', async () => {
    platform.replyWith(json(429, {}, { 'retry-after': '5' }))
    const client = platform.client()
    const patient = new AbortController()
    const longer = failureOf(client.getAccessToken('u1', 'slack', { signal: patient.signal }))
    const started = performance.now()

    const error = await failureOf(client.getAccessToken('u1', 'slack', { timeoutMs: 3000 }))

    expect(error).toMatchObject({ code: 'ERR_XKIT_RATE_LIMITED', retryAfterMs: 5000, attempts: 1 })
    expect(performance.now() - started).toBeLessThan(2000)
    patient.abort()
    await longer
    expect(platform.requests).toHaveLength(1)
  })

  test('do not share a request that began before a fresh one', async () => {
    const { open, step } = gate(json(200, flat()))
    platform.replyWith(step)
    const client = platform.client()

    const calls = [
      client.getAccessToken('u1', 'slack'),
      client.getAccessToken('u1', 'slack', { fresh: true }),
      client.getAccessToken('u1', 'slack'),
    ]
    open()
    await Promise.all(calls)

    expect(platform.requests).toHaveLength(2)
    expect(client.stats()).toMatchObject({ calls: 3, coalesced: 1 })
  })
})

describe('the cache', () => {
  let emulator
  beforeEach(async () => {
    emulator = await startEmulator({ users: { u1: { slack: {} } }, groups: { u1: { slack: {} } } })
  })
  afterEach(() => emulator.close())

  function newClient(options = { cache: true }) {
    const { baseUrl, publishableKey, secretKey } = emulator
    return new XkitClient({ baseUrl, publishableKey, secretKey, ...options })
  }

  test('asks once for each of 150 owners in two rounds', async () => {
    platform.replyWith(answer)
    const client = platform.client({ cache: true })
    const owners = Array.from({ length: 150 }, (_, index) => `u${index}`)

    for (let round = 0; round < 2; round++) {
      const tokens = await Promise.all(owners.map(owner => client.getAccessToken(owner, 'slack')))
      expect(tokens).toEqual(owners.map(owner => `token-of-${owner}`))
    }

    expect(platform.requests).toHaveLength(150)
    expect(client.stats()).toMatchObject({ calls: 300, requests: 150, cacheHits: 150, cacheMisses: 150 })
  })

  test('counts the rejected token and each call that got another one in its place', async () => {
    let requests = 0
    platform.replyWith(() => json(200, flat({ authorization: { access_token: `token-${++requests}` } })))
    const client = platform.client({ cache: true })
    const useToken = token => new Response(token, { status: token === 'token-1' ? 401 : 200 })
    const first = await client.getAccessToken('u1', 'slack')

    const answers = await Promise.all([1, 2, 3].map(() => client.withAccessToken('u1', 'slack', useToken)))

    expect(first).toBe('token-1')
    const used = await Promise.all(answers.map(response => response.text()))
    expect(used).toEqual(['token-2', 'token-2', 'token-2'])
    expect(client.stats()).toMatchObject({ rejections: 1, repairs: 3, requests: 2 })
  })

  test('is off unless asked for', async () => {
    for (const client of [newClient({ cache: false }), newClient({})]) {
      emulator.requests.length = 0
      await client.getAccessToken('u1', 'slack')
      await client.getAccessToken('u1', 'slack')
      expect(emulator.requests).toHaveLength(2)
      expect(client.stats()).toMatchObject({ cacheHits: 0, cacheMisses: 0 })
    }
  })

  test('serves tokens, groups and whole connections, each its own', async () => {
    const client = newClient()
    const user = await client.getAccessToken('u1', 'slack')
    const group = await client.getGroupAccessToken('u1', 'slack')
    expect(user).not.toBe(group)

    for (let round = 0; round < 3; round++) {
      expect(await client.getAccessToken({ user: 'u1' }, 'slack')).toBe(user)
      expect(await client.getAccessToken('u1', 'slack', { timeoutMs: 100 })).toBe(user)
      expect(await client.getGroupAccessToken('u1', 'slack')).toBe(group)
      expect(await client.getConnection('u1', 'slack')).toMatchObject({ status: 'active', accessToken: user })
    }
    expect(emulator.requests).toHaveLength(2)
  })

  test('gives way to a fresh call', async () => {
    const client = newClient()
    await client.getAccessToken('u1', 'slack')
    await client.getAccessToken('u1', 'slack')
    const rotated = emulator.rotateToken('u1', 'slack')

    expect(await client.getAccessToken('u1', 'slack', { fresh: true })).toBe(rotated)
    expect(await client.getAccessToken('u1', 'slack')).toBe(rotated)
    expect(emulator.requests).toHaveLength(2)
  })

  test('drops a token by its owner, or by its value', async () => {
    const client = newClient()
    const first = await client.getAccessToken('u1', 'slack')
    const second = emulator.rotateToken('u1', 'slack')

    client.invalidate('u1', 'slack', 'another-token')
    client.invalidate({ group: 'u1' }, 'slack')
    expect(await client.getAccessToken('u1', 'slack')).toBe(first)
    client.invalidate('u1', 'slack', first)
    expect(await client.getAccessToken('u1', 'slack')).toBe(second)
    emulator.rotateToken('u1', 'slack')
    client.invalidate({ user: 'u1' }, 'slack')
    expect(await client.getAccessToken('u1', 'slack')).not.toBe(second)
  })

  test('hands nothing out after an invalidation that came while a hit was on its way', async () => {
    const client = newClient()
    await client.getAccessToken('u1', 'slack')
    const hit = client.getAccessToken('u1', 'slack')
    const rotated = emulator.rotateToken('u1', 'slack')
    client.invalidate('u1', 'slack')
    await hit

    expect(await client.getAccessToken('u1', 'slack')).toBe(rotated)
  })

  test('keeps no failure and no unavailable connection', async () => {
    const client = newClient()
    emulator.failNext({ status: 403 })
    await failureOf(client.getAccessToken('u1', 'slack'))
    emulator.setConnection('u1', 'slack', { enabled: false })
    expect(await client.getConnection('u1', 'slack')).toMatchObject({ status: 'not_enabled' })
    emulator.setConnection('u1', 'slack', { accessToken: 'usable' })

    expect(await client.getAccessToken('u1', 'slack')).toBe('usable')
  })

  test('is forgotten when the client is closed', async () => {
    const client = newClient()
    await client.getAccessToken('u1', 'slack')
    await client.getAccessToken('u1', 'slack')
    await client.close()

    expect(await failureOf(client.getAccessToken('u1', 'slack'))).toMatchObject({ code: 'ERR_XKIT_CLOSED' })
  })
})
