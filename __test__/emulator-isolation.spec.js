// Owns the proof that tests which share an emulator do not disturb each other: reset, faults for one connection, fake clocks.
'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')

const cleanUps = []

afterEach(async () => {
  jest.useRealTimers()
  jest.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function start(options) {
  const emulator = await startEmulator(options)
  cleanUps.push(() => emulator.close())
  return emulator
}

function clientOf({ baseUrl, publishableKey, secretKey }, options) {
  const client = new XkitClient({ baseUrl, publishableKey, secretKey, maxRetries: 0, ...options })
  cleanUps.push(() => client.close())
  return client
}

const outcomeOf = promise =>
  promise.then(
    ({ status }) => status,
    ({ code }) => code,
  )

async function statusOf({ baseUrl, publishableKey, secretKey }, path) {
  const authorization = `Basic ${btoa(`${publishableKey}:${secretKey}`)}`
  const response = await fetch(`${baseUrl}${path}`, { headers: { authorization } })
  await response.arrayBuffer()
  return response.status
}

describe('reset', () => {
  test('drops failures that were planned and that nobody met', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    emulator.failNext({ status: 503, times: 5 })
    emulator.failNext({ fault: 'stall', owner: 'u1' })
    expect(await statusOf(emulator, '/connections/u1/slack')).toBe(503)
    emulator.reset()
    expect(await statusOf(emulator, '/connections/u1/slack')).toBe(200)
  })

  test('brings back the seed: owners, states, tokens and the ids of connections', async () => {
    const emulator = await start({
      users: { u1: { slack: { accessToken: 'xoxb-1' }, github: { enabled: false } }, u2: {} },
      groups: { acme: { slack: { status: 'error' } } },
    })
    const client = clientOf(emulator)
    const seen = async () => ({
      slack: await client.getConnection('u1', 'slack'),
      token: await client.getAccessToken('u1', 'slack'),
      github: await client.getConnection('u1', 'github'),
      other: await client.getConnection('u2', 'slack'),
      group: await client.getConnection({ group: 'acme' }, 'slack'),
      stranger: await client.getConnection('u3', 'slack'),
    })
    const before = await seen()
    emulator.rotateToken('u1', 'slack')
    emulator.setConnection('u1', 'github')
    emulator.setConnection('u3', 'slack')
    emulator.setConnection({ group: 'acme' }, 'slack', { enabled: false })
    emulator.reset()
    expect(await seen()).toEqual(before)
    expect(before).toMatchObject({ token: 'xoxb-1', stranger: { status: 'not_provisioned' } })
  })

  test('makes up a new token where the seed names none, so that one kept from an earlier test is refused', async () => {
    const emulator = await start({ users: { u1: { github: {} } } })
    const client = clientOf(emulator)
    const kept = await client.getAccessToken('u1', 'github')
    emulator.reset()
    const headers = { authorization: `Bearer ${kept}` }
    expect((await fetch(`${emulator.serviceUrl}/github/user`, { headers })).status).toBe(401)
    expect((await client.fetch('u1', 'github', `${emulator.serviceUrl}/github/user`)).status).toBe(200)
  })

  test('is not changed by what a test did to its own seed object', async () => {
    const slack = { accessToken: 'xoxb-1' }
    const users = { u1: { slack } }
    const emulator = await start({ users })
    slack.accessToken = 'xoxb-2'
    users.u2 = {}
    emulator.reset()
    const client = clientOf(emulator)
    expect(await client.getAccessToken('u1', 'slack')).toBe('xoxb-1')
    expect((await client.getConnection('u2', 'slack')).status).toBe('not_provisioned')
  })

  test('empties both records, which stay the same arrays, and brings back the latency of the start', async () => {
    const emulator = await start({ users: { u1: { slack: {} } }, latencyMs: 1 })
    const { requests, serviceRequests } = emulator
    emulator.latencyMs = 5
    await statusOf(emulator, '/connections/u1/slack')
    await (await fetch(`${emulator.serviceUrl}/slack/me`)).arrayBuffer()
    expect([requests.length, serviceRequests.length]).toEqual([1, 1])
    emulator.reset()
    expect([requests, serviceRequests]).toEqual([[], []])
    expect(emulator.requests).toBe(requests)
    expect(emulator.serviceRequests).toBe(serviceRequests)
    expect(emulator.latencyMs).toBe(1)
  })
})

describe('a failure planned for one connection', () => {
  const seeds = {
    users: { u1: { slack: {}, github: {} }, u2: { slack: {} } },
    groups: { u1: { slack: {} } },
  }
  const paths = [
    '/connections/u1/slack',
    '/connections/u1/github',
    '/connections/u2/slack',
    '/groups/u1/connections/slack',
  ]

  async function statusesOf(emulator) {
    const statuses = []
    for (const path of paths) statuses.push(await statusOf(emulator, path))
    return statuses
  }

  test.each([
    ['an owner', { owner: 'u1' }, [503, 503, 200, 200]],
    ['an owner of another kind', { owner: { group: 'u1' } }, [200, 200, 200, 503]],
    ['a slug', { slug: 'slack' }, [503, 200, 503, 503]],
    ['an owner and a slug', { owner: { user: 'u2' }, slug: 'slack' }, [200, 200, 503, 200]],
    ['nobody in particular', {}, [503, 503, 503, 503]],
  ])('by %s meets those requests alone', async (_by, whose, expected) => {
    const emulator = await start(seeds)
    emulator.failNext({ ...whose, times: 4 })
    expect(await statusesOf(emulator)).toEqual(expected)
  })

  test('waits for its request, while plans for others are met', async () => {
    const emulator = await start(seeds)
    emulator.failNext({ status: 500, owner: 'u1', slug: 'github' })
    emulator.failNext({ status: 429, owner: 'u2' })
    emulator.failNext({ status: 502, slug: 'slack' })
    expect(await statusesOf(emulator)).toEqual([502, 500, 429, 200])
    expect(await statusesOf(emulator)).toEqual([200, 200, 200, 200])
  })

  test('meets an id that is encoded in the path, and never a path of no connection', async () => {
    const emulator = await start({ users: { 'a/b é': {} } })
    emulator.failNext({ owner: 'a/b é', times: 2 })
    expect(await statusOf(emulator, '/nowhere')).toBe(404)
    expect(await statusOf(emulator, '/connections/%zz/slack')).toBe(400)
    expect(await statusOf(emulator, '/connections/a%2Fb%20%C3%A9/slack')).toBe(503)
  })

  test('leaves calls for other owners at the same moment alone', async () => {
    const emulator = await start(seeds)
    const client = clientOf(emulator)
    emulator.failNext({ status: 503, owner: 'u2' })
    const calls = ['u1', 'u2'].map(user => outcomeOf(client.getConnection(user, 'slack')))
    expect(await Promise.all(calls)).toEqual(['active', 'ERR_XKIT_SERVER'])
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', { owner: 1 }],
    ['ERR_INVALID_ARG_VALUE', { owner: { user: 'a', group: 'b' } }],
    ['ERR_INVALID_ARG_TYPE', { slug: 1 }],
    ['ERR_INVALID_ARG_VALUE', { slug: '..' }],
  ])('throws %s for %j', async (code, plan) => {
    const emulator = await start()
    expect(() => emulator.failNext(plan)).toThrow(expect.objectContaining({ name: 'TypeError', code }))
  })
})

describe('fake clocks of a test', () => {
  async function startReceiver(...statuses) {
    const server = http.createServer((request, response) => {
      request.resume()
      response.writeHead(statuses.shift() ?? 204).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanUps.push(() => {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    })
    return `http://127.0.0.1:${server.address().port}/`
  }

  const useEach = [
    ['set before the emulator is loaded', true],
    ['set after it was loaded', false],
  ]

  /** The emulator as a test file loads it, its clock faked before or after. */
  function load(isBefore) {
    if (!isBefore) return require('../emulator')
    let loaded
    jest.isolateModules(() => {
      loaded = require('../emulator')
    })
    return loaded
  }

  test.each(useEach)('%s freeze neither latencyMs nor the waits of a webhook', async (_when, isBefore) => {
    const url = await startReceiver(500, 500)
    if (isBefore) jest.useFakeTimers()
    const emulator = await load(isBefore).startEmulator({ users: { u1: { slack: {} } }, latencyMs: 5 })
    cleanUps.push(() => emulator.close())
    if (!isBefore) jest.useFakeTimers()
    expect(await statusOf(emulator, '/connections/u1/slack')).toBe(200)
    const event = { type: 'connection.disabled', owner: 'u1', slug: 'slack' }
    expect(await emulator.sendWebhook(url, event, { attempts: 3 })).toEqual({ status: 204, attempts: 3 })
  })

  test.each([
    ['years ahead', '2049-01-01'],
    ['years ago', '2001-01-01'],
  ])(
    '%s change nothing about the life of a token, for the emulator and for the client',
    async (_when, date) => {
      jest.useFakeTimers({ now: new Date(date) })
      const { startEmulator: startFaked } = load(true)
      const emulator = await startFaked({ users: { u1: { github: { expiresIn: 3600 } } } })
      cleanUps.push(() => emulator.close())
      const client = clientOf(emulator, { cache: true })
      const token = await client.getAccessToken('u1', 'github')
      jest.setSystemTime(new Date('2077-01-01'))
      expect(await client.getAccessToken('u1', 'github')).toBe(token)
      expect((await client.fetch('u1', 'github', `${emulator.serviceUrl}/github/user`)).status).toBe(200)
      expect(emulator.requests).toHaveLength(1)
    },
  )
})
