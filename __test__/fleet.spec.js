// Owns what a fleet of processes and a real Redis see of the second level of the cache.
'use strict'

const { tracingChannel } = require('node:diagnostics_channel')
const net = require('node:net')
const { setTimeout: delay } = require('node:timers/promises')
const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { flat, gate, json, startPlatform } = require('./support/platform')
const { startMember, startRedis, startTokens } = require('./support/redis-rigs')
const { closeRigs, closedPort, listen, startChild } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')
const { testsWith } = require('./support/tools')

const { describe, test } = testsWith('redis-server')

const FLEET = 20
// Twenty processes on a machine of two cores: a time-out there is no sign of a slow Redis.
const PATIENT = 60_000
const PATIENTLY = { connectTimeoutMs: 30_000, attemptTimeoutMs: 60_000, timeoutMs: 80_000 }

jest.setTimeout(90_000)

let redis
let tokens
beforeAll(async () => {
  redis = await startRedis()
})
beforeEach(async () => {
  await redis.ask('FLUSHALL')
  tokens = await startTokens()
})
const others = []
afterEach(async () => {
  await Promise.all(others.splice(0).map(other => other.close()))
  await tokens.close()
})
afterAll(closeRigs)

const later = rig => {
  others.push(rig)
  return rig
}
const cacheOn = (url, more = {}) => ({
  redis: { url, commandTimeoutMs: PATIENT, ...more.redis },
  ...more.cache,
})
const member = async (options = { ...tokens.options(cacheOn(redis.url)), ...PATIENTLY }) =>
  later(await startMember(options))
const members = count => Promise.all(Array.from({ length: count }, () => member()))
const newClient = (cache = cacheOn(redis.url), more) =>
  later(new XkitClient({ ...tokens.options(cache), ...more }))
/** For what raises no event: asks until the answer is yes. */
const until = async (isSo, ms = 4000) => {
  const end = performance.now() + ms
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not so after ${ms} ms: ${isSo}`)
    await delay(2)
  }
}
/** The channel has a subscriber for each of them. */
const listening = async (count, of = redis) => {
  const subscribers = async () => {
    const channels = await of.ask('PUBSUB', 'CHANNELS')
    if (channels.length === 0) return 0
    return (await of.ask('PUBSUB', 'NUMSUB', channels[0]))[1]
  }
  await until(async () => (await subscribers()) >= count)
}

const isEntry = key => !/:(lock|generation|rejected|epoch)$/.test(key)
/** Those that are there, as soon as there are so many: they are written when the caller has its token. */
const entryKeys = async (count = 1, of = redis) => {
  let entries = []
  await until(async () => {
    entries = (await of.keys()).filter(isEntry)
    return entries.length >= count
  })
  return entries
}
const webhookFor = owner => ({
  event_type: 'connection.disabled',
  payload: { connector: { slug: 'slack' }, context: { external_id: owner } },
})

describe('twenty processes', () => {
  let fleet
  beforeEach(async () => {
    tokens.latencyMs = 100
    fleet = await members(FLEET)
  })

  test('that want one token at once send one request', async () => {
    const got = await Promise.all(fleet.map(({ get }) => get('u1')))

    expect(got.map(({ token }) => token)).toEqual(Array(FLEET).fill(tokens.tokenOf('u1')))
    expect(tokens.total()).toBe(1)
  })

  test('that want those of 200 owners send at most 210', async () => {
    const owners = Array.from({ length: 200 }, (_, index) => `u${index}`)
    const expired = async () => Number(/expired_keys:(\d+)/.exec(await redis.ask('INFO', 'stats'))[1])
    const before = await expired()

    const got = await Promise.all(fleet.map(({ call }) => call('all', owners, 'slack')))

    for (const list of got) expect(list.map(({ token }) => token)).toEqual(owners.map(tokens.tokenOf))
    // On a busy machine, a process may get no processor for the 2 s that its locks last: each expired lock is one request.
    expect(tokens.total() - ((await expired()) - before)).toBeLessThanOrEqual(210)
  })

  test('see an invalidation in one of them within a second', async () => {
    await Promise.all(fleet.map(({ get }) => get('u1')))
    await listening(FLEET)
    const old = tokens.tokenOf('u1')
    // From the cache of the process, where a lease is then held on it.
    await delay(700)
    for (const { get } of fleet)
      for (let call = 0; call < 3; call++) expect((await get('u1')).token).toBe(old)
    tokens.revoke('u1')
    tokens.latencyMs = 0

    await fleet[0].call('invalidate', 'u1', 'slack')
    const took = await Promise.all(fleet.map(({ call }) => call('untilNot', old, 'u1', 'slack', 5000)))

    expect(Math.max(...took)).toBeLessThan(1000)
    expect(tokens.total()).toBe(2)
  })

  test('go on within three seconds when the one that fetches is killed', async () => {
    tokens.latencyMs = 60_000
    const [holder, ...rest] = fleet
    holder.get('u1').catch(() => {})
    await until(() => tokens.total() === 1)
    tokens.latencyMs = 0
    const waiting = Promise.all(rest.map(({ get }) => get('u1')))
    await delay(300)

    const killed = performance.now()
    await holder.kill('SIGKILL')
    const got = await waiting

    expect(performance.now() - killed).toBeLessThan(3000)
    expect(got.map(({ token }) => token)).toEqual(rest.map(() => tokens.tokenOf('u1')))
    expect(tokens.total()).toBe(2)
  })

  test('share the one new token when all are refused with the old one', async () => {
    await Promise.all(fleet.map(({ get }) => get('u1')))
    await listening(FLEET)
    const old = tokens.tokenOf('u1')
    tokens.revoke('u1')

    const seen = await Promise.all(fleet.map(({ call }) => call('use', 'u1', 'slack', [old])))

    for (const list of seen) expect(list.at(-1)).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(2)
  })
})

describe('what one process has fetched', () => {
  test('another one reads from Redis, whole, and without a request', async () => {
    const [first, second] = [newClient(), newClient()]
    const connection = await first.getConnection('u1', 'slack')

    const read = await second.getConnection('u1', 'slack')

    expect(read).toEqual(connection)
    expect(read.accessToken).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(1)
    const counted = ({ requests, fleet }) => ({ requests, fleet })
    const health = { errors: 0, isBypassed: false }
    expect(counted(first.stats())).toEqual({ requests: 1, fleet: { hits: 0, misses: 1, ...health } })
    expect(counted(second.stats())).toEqual({ requests: 0, fleet: { hits: 1, misses: 0, ...health } })
  })

  test('is kept in the process too, once the process is subscribed to the channel', async () => {
    const client = newClient()
    await client.getAccessToken('u1', 'slack')
    await listening(1)
    await client.getAccessToken('u1', 'slack')
    await delay(700)

    for (let call = 0; call < 10; call++) await client.getAccessToken('u1', 'slack')

    expect(client.stats().cacheHits).toBeGreaterThanOrEqual(9)
    expect(client.stats().fleet.hits).toBeLessThanOrEqual(2)
    expect(tokens.total()).toBe(1)
  })

  test('ends in Redis with the option ttlMs, and before the token ends', async () => {
    const body = JSON.stringify({
      connection: { enabled: true },
      authorization: { status: 'active', access_token: 'short-lived-token', expires_in: 100 },
    })
    tokens.answer(owner => (owner === 'short' ? { body } : undefined))
    const client = newClient(cacheOn(redis.url, { cache: { ttlMs: 90_000 } }))
    await client.getAccessToken('short', 'slack')
    const short = await redis.ask('PTTL', (await entryKeys())[0])
    await client.getAccessToken('u1', 'slack')
    const lives = await Promise.all((await entryKeys(2)).map(key => redis.ask('PTTL', key)))

    expect(short).toBeGreaterThan(70_000)
    expect(short).toBeLessThanOrEqual(80_000)
    expect(Math.max(...lives)).toBeLessThanOrEqual(90_000)
    expect(Math.min(...lives)).toBeGreaterThan(70_000)
    expect(lives).toHaveLength(2)
  })

  test('is fetched anew late in its life, by one process', async () => {
    const clients = [1, 2, 3].map(() => newClient(cacheOn(redis.url, { cache: { ttlMs: 4000 } })))
    const end = performance.now() + 3900
    while (performance.now() < end) {
      await Promise.all(clients.map(client => client.getAccessToken('u1', 'slack')))
      await delay(50)
    }

    expect(tokens.total()).toBe(2)
  })

  test('is not asked for by a fresh call, which replaces it everywhere', async () => {
    const [first, second] = [newClient(), newClient()]
    await Promise.all([first, second].map(client => client.getAccessToken('u1', 'slack')))
    await listening(2)
    const old = await second.getAccessToken('u1', 'slack')
    tokens.revoke('u1')

    expect(await first.getAccessToken('u1', 'slack', { fresh: true })).not.toBe(old)
    await until(async () => (await second.getAccessToken('u1', 'slack')) !== old)

    await delay(500)
    expect(await second.getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(2)
  })

  test('is nothing to those with another key, publishable key, encryption key or platform', async () => {
    const elsewhere = later(await startTokens())
    const encryptionKey = 'e'.repeat(32)
    const clients = [
      newClient(),
      newClient(undefined, { secretKey: 'sk_fleet_another_key' }),
      newClient(undefined, { publishableKey: 'pk_fleet_2' }),
      newClient(cacheOn(redis.url, { cache: { encryptionKey } })),
      newClient(cacheOn(redis.url, { redis: { keyPrefix: 'other:' } })),
    ]
    for (const client of clients) await client.getAccessToken('u1', 'slack')
    const { baseUrl } = elsewhere.options()
    await newClient(undefined, { baseUrl }).getAccessToken('u1', 'slack')
    expect([tokens.total(), elsewhere.total()]).toEqual([5, 1])

    const bytes = newClient(cacheOn(redis.url, { cache: { encryptionKey: Buffer.from(encryptionKey) } }), {
      secretKey: 'sk_fleet_another_key',
    })
    await bytes.getAccessToken('u1', 'slack')
    expect(tokens.total()).toBe(5)
  })

  test('is nothing if it is no token', async () => {
    const answers = [
      { status: 403, body: '{}' },
      { status: 503, body: '{}' },
      { status: 404, body: '{}' },
      { body: JSON.stringify({ connection: { enabled: false } }) },
    ]
    const client = newClient(undefined, { maxRetries: 0 })
    for (const answer of answers) {
      tokens.answer(() => answer)
      await expect(client.getAccessToken('u1', 'slack')).rejects.toThrow()
      await until(async () => (await redis.keys()).every(key => /:(epoch|generation)$/.test(key)))
    }
    expect(tokens.total()).toBe(answers.length)
    expect(client.stats().fleet.errors).toBe(0)
  })

  test('goes when the platform says that there is no token any more', async () => {
    const [first, second] = [newClient(), newClient()]
    await Promise.all([first, second].map(client => client.getAccessToken('u1', 'slack')))
    await listening(2)
    await second.getAccessToken('u1', 'slack')
    tokens.answer(() => ({ body: JSON.stringify({ connection: { enabled: false } }) }))

    await expect(first.getAccessToken('u1', 'slack', { fresh: true })).rejects.toThrow()

    await until(async () => (await second.getConnection('u1', 'slack')).status === 'not_enabled', 1000)
  })
})

describe('a token that the platform gave', () => {
  // Whoever waits for Redis waits longer than the test may take.
  const FOREVER = 60_000
  const LIMIT = 30_000
  const slow = { redis: { commandTimeoutMs: FOREVER } }
  const asked = async client => {
    tokens.latencyMs = 200
    const token = client.getAccessToken('u1', 'slack')
    await until(() => tokens.total() === 1)
    tokens.latencyMs = 0
    return { token }
  }
  const isReleased = text => / lua\] "DEL" "[^"]*:lock"/.test(text)

  test(
    'is handed out before it is written, and a write that is under way delays no close()',
    async () => {
      const client = newClient(cacheOn(redis.url, slow))
      const watched = await redis.watch()
      const { token } = await asked(client)
      redis.freeze()
      try {
        expect(await token).toBe(tokens.tokenOf('u1'))
        await client.close()
      } finally {
        redis.thaw()
      }

      expect(await newClient().getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
      await until(() => isReleased(watched.text()))
      watched.end()
    },
    LIMIT,
  )

  test('is written even if the generation of its connection would have expired meanwhile', async () => {
    await newClient().getAccessToken('u1', 'slack')
    await redis.ask('DEL', ...(await entryKeys()))
    const generation = (await redis.keys()).find(key => key.endsWith(':generation'))
    await redis.ask('PEXPIRE', generation, '300')
    tokens.latencyMs = 600

    await newClient().getAccessToken('u1', 'slack')

    expect(await entryKeys()).toHaveLength(1)
    expect(tokens.total()).toBe(2)
  })

  test('is handed out when it cannot be written, and the lock is given back', async () => {
    const own = later(await startRedis({ settings: ['--maxmemory-policy', 'noeviction'] }))
    const client = newClient(cacheOn(own.url))
    const watched = await own.watch()
    const { token } = await asked(client)
    await own.ask('CONFIG', 'SET', 'maxmemory', '1')

    expect(await token).toBe(tokens.tokenOf('u1'))
    await until(() => isReleased(watched.text()))
    expect((await own.keys()).filter(isEntry)).toEqual([])
    watched.end()
  })

  test('and that nobody waits for any more leaves no lock behind', async () => {
    const client = newClient()
    const watched = await redis.watch()
    const controller = new AbortController()
    tokens.latencyMs = 60_000
    const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
    await until(() => tokens.total() === 1)
    tokens.latencyMs = 0

    controller.abort()
    await expect(call).rejects.toThrow()

    await until(() => isReleased(watched.text()))
    watched.end()
  })
})

const epochKey = async () => (await redis.keys()).find(key => key.endsWith(':epoch'))

describe('an entry', () => {
  const entryKey = async owner => {
    const before = (await redis.keys()).filter(isEntry)
    await newClient().getAccessToken(owner, 'slack')
    return (await entryKeys(before.length + 1)).find(key => !before.includes(key))
  }
  const flip = (bytes, at) => {
    const altered = Buffer.from(bytes)
    altered[at] ^= 1
    return altered
  }

  test.each([
    ['altered in its head', async key => ['SET', key, flip(await redis.ask('GET', key), 3), 'KEEPTTL']],
    ['altered in its middle', async key => ['SET', key, flip(await redis.ask('GET', key), 60), 'KEEPTTL']],
    ['cut off', async key => ['SET', key, (await redis.ask('GET', key)).subarray(0, -20), 'KEEPTTL']],
    ['empty', key => ['SET', key, '', 'PX', '60000']],
    ['whose epoch is gone', async () => ['DEL', await epochKey()]],
    ['of another epoch', async () => ['SET', await epochKey(), 'e'.repeat(16), 'KEEPTTL']],
    ['that never ends', key => ['PERSIST', key]],
    ['of something else', key => ['SET', key, 'x'.repeat(500), 'PX', '60000']],
  ])('%s is a miss', async (_what, change) => {
    const key = await entryKey('u1')
    await redis.ask(...(await change(key)))
    const client = newClient()

    expect(await client.getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))

    expect(tokens.total()).toBe(2)
    expect(client.stats().fleet).toEqual({ hits: 0, misses: 1, errors: 0, isBypassed: false })
    expect(await newClient().getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(2)
  })

  test('of another owner is a miss', async () => {
    const [mine, other] = [await entryKey('u1'), await entryKey('u2')]
    await redis.ask('COPY', other, mine, 'REPLACE')

    expect(await newClient().getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(3)
  })

  test('that was kept aside and is put back when its time is over is a miss', async () => {
    const short = cacheOn(redis.url, { cache: { ttlMs: 300 } })
    await newClient(short).getAccessToken('u1', 'slack')
    const [key] = await entryKeys()
    const kept = await redis.ask('GET', key)
    await delay(400)
    await redis.ask('SET', key, kept, 'PX', '60000')

    await newClient(short).getAccessToken('u1', 'slack')
    expect(tokens.total()).toBe(2)
  })
})

describe('an invalidation', () => {
  test('beats whatever was fetched before', async () => {
    tokens.latencyMs = 300
    const [first, second] = [newClient(), newClient()]
    const old = first.getAccessToken('u1', 'slack')
    await until(() => tokens.total() === 1)
    second.invalidate('u1', 'slack')
    tokens.latencyMs = 0
    await second.close()
    tokens.revoke('u1')
    const current = await newClient().getAccessToken('u1', 'slack')

    expect(current).toBe(tokens.tokenOf('u1'))
    expect(await old).not.toBe(current)
    expect(await newClient().getAccessToken('u1', 'slack')).toBe(current)
    expect(tokens.total()).toBe(2)
  })

  test('of everything beats whatever was fetched before', async () => {
    tokens.latencyMs = 500
    const old = newClient().getAccessToken('u1', 'slack')
    await until(() => tokens.total() === 1)
    await redis.ask('SET', await epochKey(), 'e'.repeat(16))
    tokens.latencyMs = 0
    tokens.revoke('u1')
    const current = await newClient().getAccessToken('u1', 'slack')

    expect(await old).toBe('secret-token-u1-v1')
    expect(current).toBe(tokens.tokenOf('u1'))
    expect(await newClient().getAccessToken('u1', 'slack')).toBe(current)
    expect(tokens.total()).toBe(2)
  })

  test('of a rejected token leaves another one alone', async () => {
    const [first, second] = [newClient(), newClient()]
    const token = await first.getAccessToken('u1', 'slack')
    second.invalidate('u1', 'slack', 'another-token')
    await second.getAccessToken('u1', 'slack')
    expect(tokens.total()).toBe(1)

    second.invalidate('u1', 'slack', token)
    await second.getAccessToken('u1', 'slack')
    expect(tokens.total()).toBe(2)
  })

  test('of a rejected token is noted in Redis even where it has another one', async () => {
    const [first, second] = [newClient(), newClient()]
    const rejected = await first.getAccessToken('u1', 'slack')
    tokens.revoke('u1')
    const current = await first.getAccessToken('u1', 'slack', { fresh: true })
    await until(async () => (await newClient().getAccessToken('u1', 'slack')) === current)

    second.invalidate('u1', 'slack', rejected)

    await until(async () => (await redis.keys()).some(key => key.endsWith(':rejected')))
    expect(await newClient().getAccessToken('u1', 'slack')).toBe(current)
    expect(tokens.total()).toBe(2)
  })

  test('of a rejected token beats a fetch from before it, even if another process reported it before', async () => {
    const [first, second] = [newClient(), newClient()]
    const token = await second.getAccessToken('u1', 'slack')
    const keyOf = async part => (await redis.keys()).find(key => key.endsWith(part))
    first.invalidate('u1', 'slack', token)
    await until(() => keyOf(':rejected'))
    tokens.latencyMs = 500
    const slow = newClient().getAccessToken('u1', 'slack')
    await until(() => tokens.total() === 2)

    second.invalidate('u1', 'slack', token)
    const next = second.getAccessToken('u1', 'slack')
    await until(async () => String(await redis.ask('GET', await keyOf(':lock'))).startsWith('1'))
    await redis.ask('DEL', await keyOf(':rejected'))

    await Promise.all([slow, next])
    expect(tokens.total()).toBe(3)
  })

  test('is seen by the next call of the same client', async () => {
    const client = newClient()
    for (let round = 1; round <= 20; round++) {
      expect(await client.getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
      expect(tokens.total()).toBe(round)
      tokens.revoke('u1')
      client.invalidate('u1', 'slack')
    }
  })

  test('keeps a rejected token out of Redis even if the platform goes on with it', async () => {
    const client = newClient()
    const token = await client.getAccessToken('u1', 'slack')

    const answer = await client.withAccessToken('u1', 'slack', () => new Response(null, { status: 401 }))

    expect(answer.status).toBe(401)
    expect(token).toBe(tokens.tokenOf('u1'))
    expect((await redis.keys()).filter(isEntry)).toEqual([])
  })

  test('of a token that the platform has no other for ends within seconds', async () => {
    const client = newClient()
    await client.withAccessToken('u1', 'slack', () => new Response(null, { status: 401 }))
    await until(async () => !(await redis.keys()).some(key => key.endsWith(':rejected')), 10_000)

    await newClient().getAccessToken('u1', 'slack')
    await entryKeys()
    const before = tokens.total()

    expect(await newClient().getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(before)
  })

  test('by a webhook reaches a process that never had a call', async () => {
    const [user, hook] = [newClient(), newClient()]
    await user.getAccessToken('u1', 'slack')
    await listening(1)
    tokens.revoke('u1')

    hook.handleWebhook(webhookFor('u1'))

    await until(async () => (await user.getAccessToken('u1', 'slack')) === tokens.tokenOf('u1'), 1000)
  })

  test('of two rejected tokens at once leaves a third one alone', async () => {
    const [first, second] = [newClient(), newClient()]
    const token = await first.getAccessToken('u1', 'slack')
    redis.freeze()
    second.invalidate('u1', 'slack', 'one-older-token')
    second.invalidate('u1', 'slack', 'another-older-token')
    redis.thaw()

    expect(await second.getAccessToken('u1', 'slack')).toBe(token)
    expect(tokens.total()).toBe(1)
  })

  test('by a webhook is one command and one message', async () => {
    const hook = newClient()
    for (const owner of ['u1', { group: 'u1' }, { context: 'u1' }]) await hook.getAccessToken(owner, 'slack')
    await entryKeys(3)
    const watched = await redis.watch()

    hook.handleWebhook(webhookFor('u1'))
    await until(async () => !(await redis.keys()).some(isEntry))
    await redis.ask('PING', 'the-end')
    await until(() => watched.text().includes('the-end'))

    const seen = watched.end()
    expect(seen.match(/\] "EVAL"/g)).toHaveLength(1)
    expect(seen.match(/"PUBLISH"/g)).toHaveLength(1)
  })

  describe.each([
    ['Redis is healthy', 40_000, () => {}, () => {}],
    ['Redis does not answer', 40_000, () => redis.freeze(), () => redis.thaw()],
  ])('in a burst of thousands while %s', (_when, count, harm, heal) => {
    test('is lost by nobody', async () => {
      const owners = Array.from({ length: 20 }, (_, index) => `u${index}`)
      const longLived = cacheOn(redis.url, { cache: { ttlMs: 2 ** 31 - 1 } })
      const [user, hook] = [newClient(longLived), newClient(longLived)]
      await hook.getAccessToken('hook', 'slack')
      for (const owner of owners) await user.getAccessToken(owner, 'slack')
      await listening(2)
      for (const owner of owners) await user.getAccessToken(owner, 'slack')
      for (const owner of owners) tokens.revoke(owner)

      await harm()
      for (let index = 0; index < count; index++) hook.handleWebhook(webhookFor(`other-${index}`))
      for (const owner of owners) hook.handleWebhook(webhookFor(owner))
      await heal()

      const current = owners.map(tokens.tokenOf)
      const all = client => Promise.all(owners.map(owner => client.getAccessToken(owner, 'slack')))
      expect(await all(hook)).toEqual(current)
      await until(async () => (await all(user)).every((token, index) => token === current[index]), 20_000)
      expect(await all(newClient(longLived))).toEqual(current)
    })
  })

  test('reaches Redis when that is back, and the process does not read what it dropped', async () => {
    const client = newClient(cacheOn(redis.url, { redis: { commandTimeoutMs: 50 } }))
    const old = await client.getAccessToken('u1', 'slack')
    tokens.revoke('u1')
    redis.freeze()
    client.invalidate('u1', 'slack')
    await until(() => client.stats().fleet.isBypassed)
    redis.thaw()

    const seen = new Set()
    await until(async () => {
      seen.add(await client.getAccessToken('u1', 'slack'))
      return !client.stats().fleet.isBypassed
    }, 12_000)

    expect(seen.has(old)).toBe(false)
    expect(await newClient().getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
  })
})

test('nothing in Redis, and nothing on the way to it, can be read', async () => {
  const watched = await redis.watch()
  const owners = Array.from({ length: 30 }, (_, index) => `secret-owner-${index}`)
  const clients = [newClient(), newClient()]
  for (const client of clients) {
    await Promise.all(owners.map(owner => client.getAccessToken(owner, 'slack')))
    await Promise.all(owners.map(owner => client.getAccessToken({ group: owner }, 'slack', { fresh: true })))
  }
  clients[0].invalidate(owners[0], 'slack', tokens.tokenOf(owners[0]))
  clients[0].invalidate(owners[1], 'slack')
  await clients[0].getAccessToken(owners[0], 'slack')
  const everything = [await redis.dump(), Buffer.from(watched.end(), 'latin1')]
  expect((await redis.keys()).length).toBeGreaterThanOrEqual(60)

  const { publishableKey, secretKey } = tokens
  const secrets = [
    ...owners,
    ...owners.map(tokens.tokenOf),
    ...[publishableKey, secretKey, `${publishableKey}:${secretKey}`],
    ...['secret-connection', 'secret-label', 'access_token', 'slack', '/api/platform'],
  ]
  const forms = secrets.flatMap(secret => {
    const bytes = Buffer.from(secret)
    const base64 = bytes.toString('base64').replace(/=+$/, '')
    return [
      bytes,
      ...[base64, bytes.toString('base64url'), bytes.toString('hex')].map(text => Buffer.from(text)),
    ]
  })
  for (const bytes of everything) {
    expect(bytes.length).toBeGreaterThan(10_000)
    expect(forms.filter(form => bytes.includes(form)).map(String)).toEqual([])
  }
})

describe('a Redis that is of no use', () => {
  // Long enough that two of them would stand out, whatever else the machine does.
  const TIMEOUT = 400
  const raw = async onData => {
    const rig = later(await listen(net.createServer(socket => socket.on('data', () => onData(socket)))))
    return `redis://127.0.0.1:${rig.port}`
  }
  const server = async (settings, more) => {
    const rig = later(await startRedis({ settings, ...more }))
    return rig.url
  }
  const FAULTS = [
    ['is not there', async () => `redis://127.0.0.1:${await closedPort()}`, /refused/],
    ['has no name', () => 'redis://redis.invalid', /lookup/],
    ['never answers', () => raw(() => {}), /^timed out: /],
    ['hangs up', () => raw(socket => socket.destroy()), /lost|reset|broken|end of file/i],
    [
      'answers garbage',
      () => raw(socket => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
      /not Redis's|lost/,
    ],
    [
      'answers what nobody asked',
      () => raw(socket => socket.write('*2\r\n:1\r\n$3\r\nfoo\r\n'.repeat(9))),
      /./,
    ],
    ['announces a huge answer', () => raw(socket => socket.write('$99999999999\r\nx')), /./],
    ['nests without end', () => raw(socket => socket.write('*1\r\n'.repeat(100_000))), /./],
    ['is loading', () => raw(socket => socket.write('-LOADING Redis is loading\r\n')), /^LOADING$/],
    ['is moving about', () => raw(socket => socket.write('-MOVED 1 127.0.0.1:1\r\n')), /refused|^MOVED$/],
    ['is full', () => server(['--maxmemory', '1', '--maxmemory-policy', 'noeviction']), /^OOM$/],
    [
      'is a replica',
      () => server(['--replicaof', '127.0.0.1', '1', '--replica-serve-stale-data', 'yes']),
      /^READONLY$/,
    ],
    ['wants a password', () => server(['--requirepass', 'swordfish-of-the-server']), /^NOAUTH$/],
    [
      'knows another password',
      async () =>
        (await server(['--requirepass', 'swordfish-of-the-server'])).replace('//', '//:swordfish-of-ours@'),
      /^WRONGPASS$/,
    ],
    [
      'speaks TLS alone',
      async () => {
        const identity = createAuthority().issue({ hosts: ['127.0.0.1'] })
        return (await server([], { identity })).replace('rediss:', 'redis:')
      },
      /TLS|lost|reset|broken|end of file/i,
    ],
    ['speaks no TLS', async () => (await server([])).replace('redis:', 'rediss:'), /plain port/],
    [
      'lets the user do nothing',
      async () =>
        (await server(['--user', 'poor', 'on', '>poor-password', '+ping'])).replace(
          '//',
          '//poor:poor-password@',
        ),
      /^NOPERM$/,
    ],
  ]

  test.each(FAULTS)('and %s costs no call, and one time-out at most', async (_what, where) => {
    const client = newClient({ redis: { url: await where(), commandTimeoutMs: TIMEOUT } })
    const plain = newClient(false)
    await plain.getAccessToken('warm', 'slack')

    const start = performance.now()
    const first = await Promise.all(
      Array.from({ length: 50 }, (_, index) => client.getAccessToken(`u${index}`, 'slack')),
    )
    const took = performance.now() - start
    await until(() => client.stats().fleet.isBypassed)
    const next = performance.now()
    for (let index = 0; index < 50; index++) await client.getAccessToken(`v${index}`, 'slack')

    expect(first).toEqual(Array.from({ length: 50 }, (_, index) => tokens.tokenOf(`u${index}`)))
    expect(took).toBeLessThan(2 * TIMEOUT)
    expect(performance.now() - next).toBeLessThan(2 * TIMEOUT)
    expect(client.stats()).toMatchObject({ failures: 0, fleet: { hits: 0, isBypassed: true } })
    expectNoSecrets(client.stats(), ['swordfish-of-ours', 'poor-password'])
  })

  test.each(FAULTS)('and %s is told why', async (_what, where, reason) => {
    const client = newClient({ redis: { url: await where(), commandTimeoutMs: 2000 } })

    await client.getAccessToken('u1', 'slack')

    await until(() => reason.test(client.stats().fleet.lastError))
    expectNoSecrets(client.stats(), ['swordfish-of-ours', 'poor-password'])
  })

  test('is left alone for five seconds, and used again when it is back', async () => {
    const own = later(await startRedis())
    const client = newClient({ redis: { url: own.url, commandTimeoutMs: TIMEOUT } })
    const traces = []
    const follower = { asyncEnd: trace => traces.push(trace) }
    tracingChannel('xkit-node:call').subscribe(follower)
    await client.getAccessToken('u1', 'slack')
    await own.stop()
    await client.getAccessToken('u2', 'slack')
    tracingChannel('xkit-node:call').unsubscribe(follower)
    expect(client.stats().fleet.isBypassed).toBe(true)
    expect(traces.map(({ isFleetBypassed }) => isFleetBypassed)).toEqual([false, true])
    await own.start()
    const broken = performance.now()

    await until(async () => {
      await client.getAccessToken('u2', 'slack', { fresh: true })
      return !client.stats().fleet.isBypassed
    }, 10_000)

    expect(performance.now() - broken).toBeGreaterThan(3500)
    await client.getAccessToken('u3', 'slack')
    expect((await own.keys()).length).toBeGreaterThanOrEqual(1)
    expect(client.stats().failures).toBe(0)
  })

  test('is not one that answered a command too late, once', async () => {
    const own = later(await startRedis())
    const client = newClient({ redis: { url: own.url, commandTimeoutMs: 1000 } })
    await client.getAccessToken('u1', 'slack')
    await entryKeys(1, own)
    const traces = []
    const follower = { asyncEnd: trace => traces.push(trace) }
    tracingChannel('xkit-node:call').subscribe(follower)
    own.freeze()
    await client.getAccessToken('u2', 'slack')
    own.thaw()

    expect(client.stats().fleet).toMatchObject({
      isBypassed: false,
      lastError: expect.stringMatching(/^timed out: /),
    })
    await client.getAccessToken('u3', 'slack')
    await entryKeys(2, own)
    tracingChannel('xkit-node:call').unsubscribe(follower)
    // The second call had no trouble with it.
    expect(traces.map(({ fleetError }) => fleetError)).toEqual([
      expect.stringMatching(/^timed out: /),
      undefined,
    ])
  })

  test('is no trouble of a call that it had answered before', async () => {
    const own = later(await startRedis())
    const held = gate(json(200, flat()))
    const platform = later(await startPlatform(held.step, json(200, flat())))
    const client = newClient(cacheOn(own.url, { redis: { commandTimeoutMs: TIMEOUT } }), {
      baseUrl: platform.baseUrl,
    })
    const traces = []
    const follower = { asyncEnd: trace => traces.push(trace) }
    tracingChannel('xkit-node:call').subscribe(follower)
    const answered = client.getAccessToken('u1', 'slack')
    await platform.nextRequest()
    own.freeze()
    await client.getAccessToken('u2', 'slack')
    held.open()
    await answered
    own.thaw()
    tracingChannel('xkit-node:call').unsubscribe(follower)

    expect(traces.map(({ fleetError }) => fleetError)).toEqual([
      expect.stringMatching(/^timed out: /),
      undefined,
    ])
  })

  test('is not one that only dropped an idle connection', async () => {
    const client = newClient()
    await client.getAccessToken('u1', 'slack')
    for (const kind of ['normal', 'pubsub']) await redis.ask('CLIENT', 'KILL', 'TYPE', kind)

    await client.getAccessToken('u2', 'slack')

    expect(client.stats().fleet).toEqual({ hits: 0, misses: 2, errors: 0, isBypassed: false })
    await listening(1)
  })

  test('keeps what is in the process for half a second, as nobody can tell it what was dropped', async () => {
    const own = later(await startRedis())
    const client = newClient({ redis: { url: own.url, commandTimeoutMs: TIMEOUT } })
    await client.getAccessToken('u1', 'slack')
    await listening(1, own)
    await client.getAccessToken('u1', 'slack')
    await own.stop()
    const stopped = performance.now()
    tokens.revoke('u1')

    await until(async () => (await client.getAccessToken('u1', 'slack')) === tokens.tokenOf('u1'))

    expect(performance.now() - stopped).toBeLessThan(1000)
  })

  const percentile = (list, part) => {
    const sorted = list.map(({ ms }) => ms).sort((one, other) => one - other)
    return sorted[Math.floor((sorted.length - 1) * part)]
  }

  test.each([
    ['stopped', own => own.stop(), () => {}],
    ['killed', own => own.kill('SIGKILL'), () => {}],
    ['frozen', own => own.freeze(), own => own.thaw()],
    ['paused', own => own.ask('CLIENT', 'PAUSE', '30000', 'ALL'), () => {}],
  ])('%s in the middle of it: no call fails, and few are late', async (_how, harm, heal) => {
    const own = later(await startRedis())
    const one = await member(tokens.options({ redis: own.url }))
    const plain = tokens.options(false)
    await one.call('compare', plain, 500, 'before')
    expect((await one.call('stats')).fleet).toMatchObject({ errors: 0, isBypassed: false })

    await harm(own)
    const first = await one.call('compare', plain, 1000, 'first')
    const after = []
    for (const period of [1, 2, 3, 4, 5])
      after.push(await one.call('compare', plain, 1000, `after-${period}`))
    heal(own)

    for (const { shared } of [first, ...after]) {
      expect(shared.length).toBeGreaterThan(50)
      expect(shared.filter(({ token }) => token === undefined)).toEqual([])
    }
    const added = ({ shared, alone }) => percentile(shared, 0.99) - percentile(alone, 0.99)
    expect(added(first)).toBeLessThanOrEqual(100)
    expect(Math.max(...after.map(added))).toBeLessThanOrEqual(100)
    // What Redis costs, it costs in every second; what else runs on the machine shows in some.
    expect(Math.min(...after.map(added))).toBeLessThanOrEqual(1)
    expect(await one.call('stats')).toMatchObject({ failures: 0, fleet: { isBypassed: true } })
  })
})

describe('the way to Redis', () => {
  test('is TLS with the roots and the option ca, a user, a password and a database', async () => {
    const authority = createAuthority()
    const login = ['backend', 'p@ss/word#1']
    const commands = '+@connection +subscribe +publish +eval +get +set +setrange +del +pttl +pexpire'
    const rules = ['on', `>${login[1]}`, '~xkit:*', '&xkit:*', ...commands.split(' ')]
    const identity = authority.issue({ hosts: ['127.0.0.1'] })
    const own = later(await startRedis({ identity, settings: ['--user', login[0], ...rules] }))
    const url = `${own.url.replace('//', `//${login.map(encodeURIComponent).join(':')}@`)}/3`
    const [first, second] = [1, 2].map(() => newClient(cacheOn(url), { ca: authority.certificate }))
    for (const client of [first, second]) {
      await client.getAccessToken('u1', 'slack')
      await client.getAccessToken('u1', 'slack', { fresh: true })
      client.invalidate('u1', 'slack')
      await client.getAccessToken('u1', 'slack')
    }
    expect(second.stats().fleet).toMatchObject({ hits: 1, errors: 0, isBypassed: false })

    const stranger = newClient(cacheOn(url))
    await stranger.getAccessToken('u1', 'slack')
    expect(stranger.stats().fleet).toMatchObject({
      hits: 0,
      errors: 1,
      isBypassed: true,
      lastError: "the certificate's issuer is not trusted",
    })
  })

  test('leads through Sentinels to the Redis that they watch', async () => {
    const sentinel = later(await startRedis({ sentinelOf: redis.port }))
    const url = `redis-sentinel://127.0.0.1:${await closedPort()}?master=main&node=127.0.0.1:${sentinel.port}`
    for (const client of [newClient(cacheOn(url)), newClient(cacheOn(url))]) {
      await client.getAccessToken('u1', 'slack')
      expect(client.stats().fleet.errors).toBe(0)
    }
    expect(tokens.total()).toBe(1)
    expect(await entryKeys()).toHaveLength(1)
  })

  test('leads in a cluster to the member that holds the slot', async () => {
    const settings = ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no']
    const [holder, asked] = [later(await startRedis({ settings })), later(await startRedis({ settings }))]
    await holder.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await asked.ask('CLUSTER', 'MEET', '127.0.0.1', String(holder.port))
    await until(
      async () =>
        String(await asked.ask('CLUSTER', 'INFO')).match(/cluster_state:ok\s+cluster_slots_assigned:16384/),
      20_000,
    )
    const url = `redis-cluster://127.0.0.1:${asked.port}`

    for (const client of [newClient(cacheOn(url)), newClient(cacheOn(url))]) {
      await client.getAccessToken('u1', 'slack')
      client.invalidate('u2', 'slack')
      await client.getAccessToken('u2', 'slack')
      expect(client.stats().fleet.errors).toBe(0)
    }
    expect(tokens.requests.get('u1')).toBe(1)
    expect((await holder.keys()).length).toBeGreaterThanOrEqual(2)
  })

  test('ends with the client, and keeps no process alive', async () => {
    const own = later(await startRedis())
    const connections = async () =>
      String(await own.ask('CLIENT', 'LIST'))
        .trim()
        .split('\n').length - 1
    const client = newClient(cacheOn(own.url))
    await client.getAccessToken('u1', 'slack')
    await listening(1, own)
    expect(await connections()).toBe(2)
    await client.close()
    await until(async () => (await connections()) === 0)

    const script = async ({ root, options }) => {
      const { XkitClient } = require(root)
      const client = new XkitClient(options)
      await client.getAccessToken('u1', 'slack')
      client.invalidate('u1', 'slack')
    }
    const child = startChild(script, { options: tokens.options(cacheOn(own.url)) })
    expect(await child.ended).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('the options of the second level', () => {
  const URL_CODE = 'ERR_INVALID_ARG_VALUE'
  test.each([
    [{ redis: 'http://me:swordfish-1@redis.test' }, URL_CODE],
    [{ redis: 'redis://me:swordfish-1@redis.test/x' }, URL_CODE],
    [{ redis: { url: 'swordfish-1' } }, URL_CODE],
    [{ redis: {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ redis: true }, 'ERR_INVALID_ARG_TYPE'],
    [{ redis: { url: 'redis://redis.test', host: 'x' } }, URL_CODE],
    [{ redis: { url: 'redis://redis.test', keyPrefix: '' } }, URL_CODE],
    [{ redis: { url: 'redis://redis.test', commandTimeoutMs: 0 } }, URL_CODE],
    [{ redis: { url: 'redis://redis.test', commandTimeoutMs: '50' } }, 'ERR_INVALID_ARG_TYPE'],
    [{ redis: 'redis://redis.test', encryptionKey: 'swordfish-1' }, URL_CODE],
    [{ redis: 'redis://redis.test', encryptionKey: 12345678901 }, 'ERR_INVALID_ARG_TYPE'],
    [{ encryptionKey: 'swordfish-1'.repeat(4) }, URL_CODE],
    [Object.create({ redis: 'swordfish-1' }), undefined],
  ])('are checked without being repeated: %#', (cache, code) => {
    let error
    try {
      newClient(cache)
    } catch (thrown) {
      error = thrown
    }
    expect(error?.code).toBe(code)
    if (error !== undefined) expectNoSecrets(error, ['swordfish-1'])
  })

  test('open nothing before the first call, and count nothing without a Redis', async () => {
    const rig = later(await listen(net.createServer()))
    newClient(cacheOn(`redis://127.0.0.1:${rig.port}`))
    await delay(100)
    expect(rig.connections.count).toBe(0)
    expect(newClient(true).stats().fleet).toBeUndefined()
  })
})
