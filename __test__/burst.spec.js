// Owns what is promised of calls that are made in one go: some begin at once and the others in turns of the event loop,
// and nobody can tell.
'use strict'

const { setTimeout: sleep } = require('node:timers/promises')
const { XkitClient } = require('..')
const { answer, startServer } = require('./support/http-rigs')
const { KEYS, activeBody, closeRigs, startChild } = require('./support/rigs')

/** More than begin in one turn, and no more than may be under way. */
const BURST = 100
const PER_TURN = 32
const OWNERS = Array.from({ length: BURST }, (_, index) => `u${index}`)
const LAST = OWNERS.at(-1)

afterEach(closeRigs)

/** A platform, and a client whose calls for every owner are made in one go. */
async function start({ handler = answer, ...options } = {}) {
  const platform = await startServer({ handler })
  const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl, ...options })
  const askAll = () => OWNERS.map(owner => client.getAccessToken(owner, 'slack'))
  return { platform, client, askAll }
}

test('the first begin while the code goes on that made them, the others when it lets the event loop turn', async () => {
  const { platform } = await start()
  /** Makes the calls, and does not let go until a line comes in. */
  async function script({ root, keys, baseUrl, owners }) {
    const { readSync } = require('node:fs')
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl })
    const calls = owners.map(owner => client.getAccessToken(owner, 'slack'))
    readSync(0, Buffer.alloc(1))
    console.log(new Set(await Promise.all(calls)).size)
  }
  const child = startChild(script, { baseUrl: platform.baseUrl, owners: OWNERS })

  await platform.requests.reaches(PER_TURN)
  // Were there more to come, they would most likely have by then.
  await sleep(100)
  expect(platform.requests.entries).toHaveLength(PER_TURN)
  child.tell('\n')

  expect(await child.ended).toMatchObject({ code: 0, stdout: `${BURST}\n`, stderr: '' })
  expect(platform.requests.entries).toHaveLength(BURST)
})

test('all are counted at once', async () => {
  const { client, askAll } = await start()

  const calls = askAll()

  expect(client.stats()).toMatchObject({ calls: BURST })
  await Promise.all(calls)
})

test('all for one owner share a request', async () => {
  const { platform, client } = await start()

  await Promise.all(OWNERS.map(() => client.getAccessToken('u1', 'slack')))

  expect(platform.requests.entries).toHaveLength(1)
})

test('all are taken on before the client is closed', async () => {
  const { client, askAll } = await start()

  const calls = askAll()
  await client.close()

  await expect(Promise.all(calls)).resolves.toHaveLength(BURST)
})

test.each([
  ['the connection is invalidated', ({ client }) => client.invalidate(LAST, 'slack')],
  ['its token is reported', ({ client }, token) => client.invalidate(LAST, 'slack', token)],
  [
    'its token is of no use',
    async ({ client }, token) => {
      const use = async given => {
        if (given === token) throw Object.assign(new Error('refused'), { status: 401 })
      }
      await client.withAccessToken(LAST, 'slack', use)
    },
  ],
])('a cached token that was just asked for is not kept when %s', async (_, drop) => {
  let round = 0
  const rig = await start({
    cache: {},
    handler: (_request, response, { path }) => response.end(activeBody(`${path.split('/')[2]}-${round}`)),
  })
  await Promise.all(rig.askAll())
  round++

  const calls = rig.askAll()
  await drop(rig, `${LAST}-0`)

  expect((await Promise.all(calls)).at(-1)).toBe(`${LAST}-0`)
  await expect(rig.client.getAccessToken(LAST, 'slack')).resolves.toBe(`${LAST}-1`)
  await expect(rig.client.getAccessToken(OWNERS[0], 'slack')).resolves.toBe(`${OWNERS[0]}-0`)
})

test('a slug that cannot be one rejects its own call alone', async () => {
  const { client, askAll } = await start()

  const calls = [...askAll(), client.getAccessToken('u1', '..')]

  const results = await Promise.allSettled(calls)
  expect(results.map(({ status }) => status)).toEqual([...OWNERS.map(() => 'fulfilled'), 'rejected'])
  expect(results.at(-1).reason).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' })
})

test('none sends a request whose time was over before it could begin', async () => {
  const { client, askAll } = await start({ timeoutMs: 50 })
  const calls = askAll()
  const end = process.hrtime.bigint() + 60_000_000n
  while (process.hrtime.bigint() < end);

  const results = await Promise.allSettled(calls)
  const attempts = results.slice(PER_TURN).map(({ reason }) => reason?.attempts)
  expect(attempts).toEqual(Array(BURST - PER_TURN).fill(0))
  for (const { reason } of results)
    expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true })
  expect(client.stats()).toMatchObject({ calls: BURST, failures: BURST, inFlight: 0 })
})

test('of each of several clients no more begin in a turn than of one, although their results come together', async () => {
  const { platform } = await start()
  /** Counts the calls that begin in each turn, and makes turns long enough for results to gather. */
  async function script({ root, keys, baseUrl }) {
    const { XkitClient } = require(root)
    const native = require(`${root}/lib/native.js`)
    const { call } = native
    let begun = 0
    let most = 0
    native.call = (...given) => {
      begun++
      return call(...given)
    }
    const clients = [1, 2, 3].map(() => new XkitClient({ ...keys, baseUrl, maxConcurrency: 1000 }))
    const owners = Array.from({ length: 1000 }, (_, index) => `u${index}`)
    const calls = clients.flatMap(client => owners.map(owner => client.getAccessToken(owner, 'slack')))
    let isOver = false
    const turn = () => {
      most = Math.max(most, begun)
      begun = 0
      const end = process.hrtime.bigint() + 5_000_000n
      while (process.hrtime.bigint() < end);
      if (!isOver) setImmediate(turn)
    }
    turn()
    const results = await Promise.all(calls)
    isOver = true
    console.log(results.length, most)
  }
  const child = startChild(script, { baseUrl: platform.baseUrl })

  const { code, stdout, stderr } = await child.ended

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [results, most] = stdout.split(' ').map(Number)
  expect(results).toBe(3000)
  // By a turn's immediates, by those results that come in it, and by those that wake it.
  expect(most).toBeLessThanOrEqual(3 * 3 * PER_TURN)
})

test('those for one owner share a request in a continuation of the first results too', async () => {
  const { platform } = await start()
  /** Holds the event loop until the first results are there, and again once more calls are made. */
  async function script({ root, keys, baseUrl }) {
    const { readSync } = require('node:fs')
    const { XkitClient } = require(root)
    const hold = () => readSync(0, Buffer.alloc(1))
    const client = new XkitClient({ ...keys, baseUrl })
    const ask = owners => owners.map(owner => client.getAccessToken(owner, 'slack'))
    const others = (name, length) => Array.from({ length }, (_, index) => `${name}${index}`)
    const calls = ask(others('a', 40))
    const more = calls[0].then(() => {
      const asked = ask(['x', ...others('b', 31), 'x'])
      hold()
      return Promise.all(asked)
    })
    hold()
    console.log((await Promise.all([...calls, more])).length)
  }
  const child = startChild(script, { baseUrl: platform.baseUrl })
  const askedForX = () => platform.requests.entries.filter(({ path }) => path.endsWith('/x/slack')).length

  await platform.requests.reaches(PER_TURN)
  await sleep(100)
  child.tell('\n')
  await platform.requests.reaches(41)
  await sleep(100)
  child.tell('\n')

  expect(await child.ended).toMatchObject({ code: 0, stdout: '41\n', stderr: '' })
  expect(askedForX()).toBe(1)
})
