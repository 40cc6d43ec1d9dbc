// Owns what each example must do, whatever its framework: take webhooks from those who know the secret, repair a token,
// and send a person on.
'use strict'

const { startEmulator } = require('xkit-node/emulator')

const SECRET = 'webhook-secret-Qm4r'

/**
 * `startApp({ emulator, catalogUrl, webhookSecret, githubUrl })` gives the `origin` of an app that takes the header
 * `x-test-user` for the user who is signed in, and `close`.
 */
function testExample(startApp) {
  let emulator
  let app

  async function start({ catalogUrl } = {}) {
    const githubUrl = `${emulator.serviceUrl}/github`
    app = await startApp({ emulator, catalogUrl, webhookSecret: SECRET, githubUrl })
  }

  beforeEach(async () => {
    emulator = await startEmulator({ users: { u1: { github: {} }, u2: {} } })
    await start({ catalogUrl: emulator.catalogUrl })
  })
  afterEach(async () => {
    await app.close()
    await emulator.close()
  })

  const repositoriesOf = user =>
    fetch(`${app.origin}/repositories`, { headers: { 'x-test-user': user }, redirect: 'manual' })
  const hook = (secret = SECRET) => `${app.origin}/webhooks/xkit/${secret}`
  const event = { type: 'connection.enabled', owner: 'u1', slug: 'github', connectionId: 'c1' }
  const post = (body, secret) =>
    fetch(hook(secret), { method: 'POST', headers: { 'content-type': 'application/json' }, body })

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

  test('sends nobody there while the connection is under way', async () => {
    emulator.setConnection('u2', 'github', { status: 'retrieving_tokens' })
    const response = await repositoriesOf('u2')
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({ error: 'ERR_XKIT_PENDING' })
  })

  test('says so where there is no such place', async () => {
    await app.close()
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

  test('passes on how long the platform asks to wait', async () => {
    emulator.failNext({ status: 429, retryAfter: 30 })
    const response = await repositoriesOf('u1')
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('30')
    expect(emulator.requests).toHaveLength(1)
  })

  test.each([
    [401, 'ERR_XKIT_INVALID_API_KEY'],
    [403, 'ERR_XKIT_FORBIDDEN'],
    [410, 'ERR_XKIT_HTTP'],
  ])('does not make a %d that the platform gave it its own answer', async (status, code) => {
    emulator.failNext({ status })
    const response = await repositoriesOf('u1')
    expect(response.status).toBe(503)
    expect(await response.json()).toEqual({ error: code })
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

  test('knows no webhook route with another secret', async () => {
    await repositoriesOf('u1')
    for (const secret of ['', 'wrong', SECRET.slice(0, -1), `${SECRET}x`, SECRET.toUpperCase(), '%00']) {
      expect([secret, (await emulator.sendWebhook(hook(secret), event)).status]).toEqual([secret, 404])
    }
    await repositoriesOf('u1')
    expect(emulator.requests).toHaveLength(1)
  })

  test('answers 400 to what is no event, to half of one and to nothing', async () => {
    for (const body of ['{}', '[]', '{"event_type":"x"', '']) {
      const response = await post(body)
      expect([body, response.status]).toEqual([body, 400])
      expect(await response.text()).not.toContain('node_modules')
    }
  })

  test('answers 413 to what is too large', async () => {
    expect((await post(JSON.stringify('x'.repeat(200_000)))).status).toBe(413)
  })

  return { post }
}

module.exports = { testExample }
