// What the specs of the fleet share: one Redis for a file, a platform for each test, clients, and what is in that Redis.
'use strict'

const net = require('node:net')
const { setTimeout: delay } = require('node:timers/promises')
const { XkitClient } = require('../..')
const { startRedis, startTokens } = require('./redis-rigs')
const { closeRigs, listen } = require('./rigs')

// A machine that is busy with other tests is no slow Redis.
const PATIENT = 60_000

/** Asks until the answer is yes, for what raises no event. */
async function until(isSo, ms = 4000) {
  const end = performance.now() + ms
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not so after ${ms} ms: ${isSo}`)
    await delay(2)
  }
}

const isEntry = key => !/:(lock|generation|rejected|epoch)$/.test(key)

const cacheOn = (url, { redis, cache } = {}) => ({
  redis: { url, commandTimeoutMs: PATIENT, ...redis },
  ...cache,
})

/** Registers jest's hooks for a file. `redis` and `tokens` are those of the test that runs. */
function useFleet() {
  const fleet = {}
  const rigs = []
  beforeAll(async () => {
    fleet.redis = await startRedis()
  })
  beforeEach(async () => {
    await fleet.redis.ask('FLUSHALL')
    fleet.tokens = await startTokens()
  })
  afterEach(async () => {
    await Promise.all(rigs.splice(0).map(rig => rig.close()))
    await fleet.tokens.close()
  })
  afterAll(closeRigs)

  /** Closes a rig or a client at the end of the test. */
  fleet.later = rig => {
    rigs.push(rig)
    return rig
  }
  fleet.newClient = (cache = cacheOn(fleet.redis.url), more) =>
    fleet.later(new XkitClient({ ...fleet.tokens.options(cache), ...more }))
  /** The keys of the entries, as soon as there are so many: they are written after the caller has its token. */
  fleet.entryKeys = async (count = 1, of = fleet.redis) => {
    let entries = []
    await until(async () => {
      entries = (await of.keys()).filter(isEntry)
      return entries.length >= count
    })
    return entries
  }
  /** Waits until so many clients are subscribed to the channel. */
  fleet.listening = (count, of = fleet.redis) =>
    until(async () => {
      const [channel] = await of.ask('PUBSUB', 'CHANNELS')
      return channel !== undefined && (await of.ask('PUBSUB', 'NUMSUB', channel))[1] >= count
    })
  /** The URL of a server that is none: `onConnection` gets each socket. */
  fleet.fakeRedis = async onConnection => {
    const rig = fleet.later(await listen(net.createServer(onConnection)))
    return `redis://127.0.0.1:${rig.port}`
  }
  return fleet
}

const webhookFor = owner => ({
  event_type: 'connection.disabled',
  payload: { connector: { slug: 'slack' }, context: { external_id: owner } },
})

module.exports = { cacheOn, isEntry, until, useFleet, webhookFor }
