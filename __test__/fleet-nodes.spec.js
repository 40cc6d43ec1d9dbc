// Owns the way to the fleet's Redis where it is not one healthy server: Sentinels, clusters, and nodes that are dead.
'use strict'

const { cacheOn, until, useFleet } = require('./support/fleet')
const { startMember, startRedis } = require('./support/redis-rigs')
const { closedPort, listen } = require('./support/rigs')
const net = require('node:net')
const { testsWith } = require('./support/tools')

const { describe, test } = testsWith('redis-server')

jest.setTimeout(60_000)

const fleet = useFleet()
const { entryKeys, later, newClient } = fleet

/** Calls for new owners until Redis answers, as a service makes them. How long that took, in milliseconds. */
async function untilShared(client, names) {
  const start = performance.now()
  const { hits, misses, errors } = client.stats().fleet
  let made = 0
  await until(async () => {
    const before = client.stats().fleet
    await client.getAccessToken(`${names}-${made++}`, 'slack')
    const after = client.stats().fleet
    return !after.isBypassed && after.errors === before.errors
  }, 20_000)
  expect(client.stats().fleet.misses + client.stats().fleet.hits - misses - hits).toBe(made)
  return { took: performance.now() - start, lost: client.stats().fleet.errors - errors }
}

/** Nodes that are dead in some way; each takes a started one. */
const DEATHS = [
  ['refuses', async () => ({ port: await closedPort() })],
  [
    'was stopped',
    async node => {
      await node.stop()
      return node
    },
  ],
  [
    'is frozen',
    async node => {
      node.freeze()
      return node
    },
  ],
  ['accepts and says nothing', async () => later(await listen(net.createServer(() => {})))],
]

// Less than the five seconds for which a Redis is left alone that fails.
const SOON = 4000

async function expectPassedOver(url, redis, node) {
  // Less than the 300 ms that a silent node has to itself, so that calls are lost meanwhile.
  const client = newClient({ redis: { url, commandTimeoutMs: 250 } })
  expect((await untilShared(client, 'first')).took).toBeLessThan(SOON)
  await entryKeys(1, redis)

  // A new connection asks the node first that answered.
  const patient = newClient({ redis: { url, commandTimeoutMs: 60_000 } })
  await patient.getAccessToken('warm', 'slack')
  for (const kind of ['normal', 'pubsub']) await redis.ask('CLIENT', 'KILL', 'TYPE', kind)
  const before = node.connections?.count
  await patient.getAccessToken('again', 'slack')
  expect(patient.stats().fleet.errors).toBe(0)
  expect(node.connections?.count).toBe(before)
}

describe.each(DEATHS)('a first node that %s is passed over', (_how, dead) => {
  test('among Sentinels', async () => {
    const [first, second] = await Promise.all([1, 2].map(() => startRedis({ sentinelOf: fleet.redis.port })))
    for (const one of [first, second]) later(one)
    const node = await dead(first)
    const url = `redis-sentinel://127.0.0.1:${node.port}?master=main&node=127.0.0.1:${second.port}`

    await expectPassedOver(url, fleet.redis, node)
  })

  test('in a cluster', async () => {
    const settings = ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no']
    const [first, second] = await Promise.all([1, 2].map(() => startRedis({ settings })))
    for (const one of [first, second]) later(one)
    await second.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until(async () => /cluster_state:ok/.test(String(await second.ask('CLUSTER', 'INFO'))), 20_000)
    const node = await dead(first)
    const url = `redis-cluster://127.0.0.1:${node.port}?node=127.0.0.1:${second.port}`

    await expectPassedOver(url, second, node)
  })
})

describe('Sentinels with a login of their own', () => {
  const watched = async lines => later(await startRedis({ sentinelOf: fleet.redis.port, lines }))
  const cache = (port, redis) => cacheOn(`redis-sentinel://127.0.0.1:${port}?master=main`, { redis })

  test('are asked with it, and the Redis is not', async () => {
    const { port } = await watched(['requirepass swordfish-of-sentinels'])
    const client = newClient(cache(port, { sentinelPassword: 'swordfish-of-sentinels' }))

    await client.getAccessToken('u1', 'slack')

    expect(client.stats().fleet.errors).toBe(0)
    await entryKeys()
  })

  test('may know users', async () => {
    const { port } = await watched(['user watcher on >swordfish-of-watcher allchannels +@all'])
    const login = { sentinelUsername: 'watcher', sentinelPassword: 'swordfish-of-watcher' }
    const client = newClient(cache(port, login))

    await client.getAccessToken('u1', 'slack')

    expect(client.stats().fleet.errors).toBe(0)
  })

  test('refuse another one, which is told', async () => {
    const { port } = await watched(['requirepass swordfish-of-sentinels'])
    const client = newClient(cache(port, { sentinelPassword: 'another-swordfish' }))

    await client.getAccessToken('u1', 'slack')

    await until(() => /WRONGPASS|NOAUTH/.test(client.stats().fleet.lastError))
  })

  test.each([
    ['redis://127.0.0.1', { sentinelPassword: 'swordfish' }],
    ['redis-sentinel://127.0.0.1?master=main', { sentinelUsername: 'watcher' }],
    ['redis-sentinel://127.0.0.1?master=main', { sentinelPassword: '' }],
    ['redis-sentinel://127.0.0.1?master=main', { sentinelPassword: 1 }],
  ])('are options that are checked: %s %o', (url, login) => {
    expect(() => newClient({ redis: { url, ...login } })).toThrow(/cache\.redis\.sentinel/)
  })
})

describe('what failed last', () => {
  test('has its time, and is forgotten when Redis is well again', async () => {
    const own = later(await startRedis())
    const client = newClient({ redis: { url: own.url, commandTimeoutMs: 1000 } })
    await client.getAccessToken('u1', 'slack')
    expect(client.stats().fleet).not.toHaveProperty('lastError')
    await own.stop()
    const before = new Date()
    await client.getAccessToken('u2', 'slack')
    const { lastError, lastErrorAt } = client.stats().fleet
    expect(lastError).toMatch(/refused|lost|reset/i)
    expect(lastErrorAt.getTime()).toBeGreaterThanOrEqual(before.getTime() - 1000)
    expect(lastErrorAt.getTime()).toBeLessThanOrEqual(Date.now())

    await own.start()
    await until(() => client.stats().fleet.lastError === undefined, 20_000)

    expect(client.stats().fleet.isBypassed).toBe(false)
    expect(client.stats().fleet.lastErrorAt).toBeUndefined()
    expect(client.stats().fleet.errors).toBeGreaterThan(0)
  })
})

describe('the variable XKIT_REDIS_URL', () => {
  afterEach(() => {
    delete process.env.XKIT_REDIS_URL
  })

  test('stands in for cache.redis where there is a cache, and for nothing without one', async () => {
    process.env.XKIT_REDIS_URL = fleet.redis.url
    for (const cache of [true, { encryptionKey: 'e'.repeat(32) }]) {
      const client = newClient(cache)
      await client.getAccessToken('u1', 'slack')
      expect(client.stats().fleet).toMatchObject({ errors: 0 })
    }
    await entryKeys(2)
    expect(newClient(false).stats().fleet).toBeUndefined()
  })

  test('is named where it is unusable, and not repeated', () => {
    process.env.XKIT_REDIS_URL = 'http://swordfish.test'
    expect(() => newClient(true)).toThrow(/variable XKIT_REDIS_URL/)
    expect(() => newClient(true)).not.toThrow(/swordfish/)
  })
})

test('100,000 rejected tokens take a bounded amount of memory while Redis is dead', async () => {
  const url = `redis://127.0.0.1:${await closedPort()}`
  const one = later(await startMember(fleet.tokens.options({ redis: url })))
  await one.get('u1')
  await one.call('reject', 1000)
  const before = await one.call('memory')

  await one.call('reject', 100_000)

  const grown = ((await one.call('memory')) - before) / 1024 / 1024
  expect(grown).toBeLessThan(24)
})
