// Owns the proof of the examples: each app takes webhooks from those who know the secret, and repairs or redirects.
'use strict'

const { once } = require('node:events')
const { XkitClient } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')

const SECRET = 'webhook-secret-Qm4r'

/** How each framework begins to listen on a free port; gives the address and what ends it. */
const FRAMEWORKS = {
  express: async app => {
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { server, close: () => new Promise(resolve => server.close(resolve)) }
  },
  fastify: async app => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { server: app.server, close: () => app.close() }
  },
}

describe.each(Object.keys(FRAMEWORKS))('the example with %s', name => {
  const { createApp } = require(`../examples/${name}.js`)
  let emulator
  let xkit
  let app
  let origin

  async function start({ catalogUrl } = {}) {
    const { baseUrl, publishableKey, secretKey } = emulator
    xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey, cache: true })
    const built = createApp({
      xkit,
      webhookSecret: SECRET,
      userOf: request => request.headers['x-test-user'],
      githubUrl: `${emulator.serviceUrl}/github`,
    })
    app = await FRAMEWORKS[name](built)
    origin = `http://127.0.0.1:${app.server.address().port}`
  }

  beforeEach(async () => {
    emulator = await startEmulator({ users: { u1: { github: {} }, u2: {} } })
    await start({ catalogUrl: emulator.catalogUrl })
  })
  afterEach(async () => {
    app.server.closeAllConnections()
    await app.close()
    await xkit.close()
    await emulator.close()
  })

  const repositoriesOf = user =>
    fetch(`${origin}/repositories`, { headers: { 'x-test-user': user }, redirect: 'manual' })
  const hook = (secret = SECRET) => `${origin}/webhooks/xkit/${secret}`
  const event = { type: 'connection.enabled', owner: 'u1', slug: 'github', connectionId: 'c1' }
  const post = (body, { secret, type = 'application/json' } = {}) =>
    fetch(hook(secret), { method: 'POST', headers: { 'content-type': type }, body })

  test('answers a user who is connected', async () => {
    const response = await repositoriesOf('u1')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ slug: 'github', owner: { kind: 'user', id: 'u1' } })
  })

  test('repairs a token that GitHub does not take any more', async () => {
    await repositoriesOf('u1')
    emulator.revokeToken('u1', 'github')

    expect((await repositoriesOf('u1')).status).toBe(200)
    expect(emulator.serviceRequests.map(({ status }) => status)).toEqual([200, 401, 200])
    expect(emulator.serviceRequests.at(-1).path).toBe('/service/github/user/repos')
  })

  test('sends a user who is not connected to where that is done', async () => {
    const response = await repositoriesOf('u2')
    expect(response.status).toBe(303)
    expect(response.headers.get('location')).toBe(`${emulator.catalogUrl}/connectors/github`)
  })

  test('sends a user whose connection broke since there too', async () => {
    await repositoriesOf('u1')
    emulator.setConnection('u1', 'github', { status: 'error' })
    expect((await repositoriesOf('u1')).status).toBe(303)
  })

  test('says so where there is no such place', async () => {
    app.server.closeAllConnections()
    await app.close()
    await xkit.close()
    await start()
    const response = await repositoriesOf('u2')
    expect(response.status).toBe(409)
    expect(await response.json()).toEqual({ error: 'ERR_XKIT_NOT_ENABLED' })
  })

  test('does not send anybody anywhere because of an outage', async () => {
    emulator.failNext({ status: 503, times: 3 })
    const response = await repositoriesOf('u1')
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({ error: 'ERR_XKIT_SERVER' })
  })

  test('does not tell its users that they are not signed in because its keys are wrong', async () => {
    emulator.failNext({ status: 401 })
    const response = await repositoriesOf('u1')
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({ error: 'ERR_XKIT_INVALID_API_KEY' })
  })

  test('fails where GitHub refuses what the platform keeps handing out', async () => {
    emulator.revokeToken('u1', 'github', { keepHandingOut: true })
    expect((await repositoriesOf('u1')).status).toBe(500)
  })

  test('takes a webhook, and asks the platform at the next need', async () => {
    await repositoriesOf('u1')
    await repositoriesOf('u1')
    expect(emulator.requests).toHaveLength(1)

    expect(await emulator.sendWebhook(hook(), event)).toEqual({ status: 204, attempts: 1 })
    await repositoriesOf('u1')
    expect(emulator.requests).toHaveLength(2)
  })

  test.each(['', 'wrong', SECRET.slice(0, -1), `${SECRET}x`, SECRET.toUpperCase(), '%00'])(
    'knows no webhook route with the secret %p',
    async secret => {
      await repositoriesOf('u1')
      const delivery = await emulator.sendWebhook(hook(secret), event)
      expect(delivery.status).toBe(404)
      await repositoriesOf('u1')
      expect(emulator.requests).toHaveLength(1)
    },
  )

  test.each([
    ['no event', '{}'],
    ['a list', '[]'],
    ['half of one', '{"event_type":"x"'],
    ['nothing', ''],
  ])('answers 400 to %s', async (_what, body) => {
    const response = await post(body)
    expect(response.status).toBe(400)
    expect(await response.text()).not.toContain('node_modules')
  })

  test('answers 413 to what is too large, and reads nothing without the secret', async () => {
    const large = JSON.stringify('x'.repeat(70_000))
    expect((await post(large)).status).toBe(413)
    expect((await post(large, { secret: 'wrong' })).status).toBe(404)
  })
})
