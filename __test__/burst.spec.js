// Owns what is promised of calls that are made in one go.
'use strict'

const { XkitClient } = require('..')
const { answer, startServer } = require('./support/http-rigs')
const { KEYS, activeBody, closeRigs, startChild } = require('./support/rigs')

/** No more than may be under way. */
const BURST = 100
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

test('all begin when they are made, and not in later turns of the event loop', async () => {
  const { platform } = await start()
  /** Makes the calls, and holds the event loop until a line comes in. */
  async function script({ root, keys, baseUrl, owners }) {
    const { readSync } = require('node:fs')
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl })
    const calls = owners.map(owner => client.getAccessToken(owner, 'slack'))
    readSync(0, Buffer.alloc(1))
    console.log(new Set(await Promise.all(calls)).size)
  }
  const child = startChild(script, { baseUrl: platform.baseUrl, owners: OWNERS })

  await platform.requests.reaches(BURST)
  child.tell('\n')

  expect(await child.ended).toMatchObject({ code: 0, stdout: `${BURST}\n`, stderr: '' })
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
