// Owns the proof of what the emulator does on the wire: answers, faults, webhooks, records, and its end.
'use strict'

const { execFile } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const { promisify } = require('node:util')
const clock = require('../emulator/clock.js')
const { startEmulator } = require('../emulator/index.js')
const { createWebhookSender } = require('../emulator/webhook.js')

const cleanUps = []

afterEach(async () => {
  jest.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function start(options) {
  const emulator = await startEmulator(options)
  cleanUps.push(() => emulator.close())
  return emulator
}

async function startReceiver(handle) {
  const server = http.createServer(handle).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUps.push(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  return `http://127.0.0.1:${server.address().port}`
}

function basic(publishableKey, secretKey) {
  return `Basic ${Buffer.from(`${publishableKey}:${secretKey}`).toString('base64')}`
}

// Not fetch: a path has to reach the wire exactly as it is written here.
function ask(emulator, path, { method = 'GET', headers, agent = false } = {}) {
  const { hostname, port } = new URL(emulator.baseUrl)
  const authorization = basic(emulator.publishableKey, emulator.secretKey)
  return new Promise((resolve, reject) => {
    const request = http.request(
      { hostname, port, path: `/api/platform${path}`, method, agent, headers: { authorization, ...headers } },
      async response => {
        try {
          const chunks = []
          for await (const chunk of response) chunks.push(chunk)
          const text = Buffer.concat(chunks).toString()
          const isJson = response.headers['content-type']?.startsWith('application/json')
          const { statusCode: status, headers: answered } = response
          resolve({ status, headers: answered, text, json: isJson ? JSON.parse(text) : undefined })
        } catch (error) {
          reject(error)
        }
      },
    )
    request.on('error', reject).end()
  })
}

async function connect(emulator, options) {
  const socket = net.connect({ port: new URL(emulator.baseUrl).port, host: '127.0.0.1', ...options })
  cleanUps.push(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

function requestText(emulator, path) {
  const authorization = basic(emulator.publishableKey, emulator.secretKey)
  return `GET /api/platform${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\n\r\n`
}

/** How the peer ended the connection: what it sent before, and the error if it was no orderly end. */
function ending(socket) {
  return new Promise(resolve => {
    const seen = { text: '', error: undefined }
    socket.on('data', chunk => {
      seen.text += chunk
    })
    socket.on('error', error => {
      seen.error = error.code
    })
    socket.on('close', () => resolve(seen))
  })
}

/** Resolves once the next API request has arrived; the record of requests is the only sign of one that stalls. */
function arrival({ requests }) {
  return new Promise(resolve => {
    requests.push = entry => {
      delete requests.push
      resolve(entry)
      return requests.push(entry)
    }
  })
}

describe('answers', () => {
  test('a user and a group are answered in the flat shape, with access_token', async () => {
    const seed = { slack: { accessToken: 'xoxb-1', errorCode: 'e1', errorMessage: 'm1' } }
    const emulator = await start({ users: { u1: seed }, groups: { acme: seed } })
    for (const [path, number] of [
      ['/connections/u1/slack', 1],
      ['/groups/acme/connections/slack', 2],
    ]) {
      const { status, headers, json } = await ask(emulator, path)
      expect(status).toBe(200)
      expect(headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'no-store',
        'x-request-id': `emulated-request-${number}`,
      })
      expect(json).toEqual({
        connection: { id: `emulated-connection-${number}`, enabled: true },
        connector: {
          name: 'Slack',
          slug: 'slack',
          short_description: 'The emulated Slack connector',
          mark_url: expect.stringMatching(/^data:image\/svg/),
          supports_multiple_connections: false,
        },
        authorization: {
          id: number,
          status: 'active',
          display_label: 'Emulated account',
          access_token: 'xoxb-1',
          error_code: 'e1',
          error_message: 'm1',
          authorizer: { client_id: 'emulated-client', prototype: { name: 'Slack', slug: 'slack' } },
        },
      })
    }
  })

  test('a context is answered in the nested shape, with credential', async () => {
    const emulator = await start({ contexts: { c1: { 'google-calendar': { accessToken: 'ya29' } } } })
    const { json } = await ask(emulator, '/contexts/c1/connections/google-calendar')
    expect(Object.keys(json)).toEqual(['connection'])
    expect(json.connection).toMatchObject({
      enabled: true,
      connector: { name: 'Google Calendar', slug: 'google-calendar' },
      authorization: { status: 'active', credential: 'ya29' },
    })
    expect(json.connection.authorization).not.toHaveProperty('access_token')
  })

  test('one shape can be forced on every owner', async () => {
    const users = { u1: { slack: { accessToken: 't' } } }
    const nested = await start({ users, shape: 'nested' })
    expect((await ask(nested, '/connections/u1/slack')).json.connection.authorization.credential).toBe('t')
    const flat = await start({ contexts: users, shape: 'flat' })
    const { json } = await ask(flat, '/contexts/u1/connections/slack')
    expect(json.authorization.access_token).toBe('t')
  })

  test('an active connection without a token gets a made-up one that stays until it is changed', async () => {
    const emulator = await start({ users: { u1: { slack: {}, github: {} } } })
    const first = (await ask(emulator, '/connections/u1/slack')).json.authorization.access_token
    expect(first).toMatch(/^emulated-token-/)
    expect((await ask(emulator, '/connections/u1/slack')).json.authorization.access_token).toBe(first)
    expect((await ask(emulator, '/connections/u1/github')).json.authorization.access_token).not.toBe(first)
  })

  test.each(['awaiting_callback', 'retrieving_tokens', 'error'])(
    'status %s has an empty token',
    async status => {
      const emulator = await start({
        users: { u1: { slack: { status, accessToken: 'hidden', expiresIn: 60 } } },
      })
      const { authorization } = (await ask(emulator, '/connections/u1/slack')).json
      expect(authorization).toMatchObject({ status, access_token: '', error_code: null, error_message: null })
      expect(authorization).not.toHaveProperty('expires_in')
    },
  )

  test('a connection that is not enabled has no authorization', async () => {
    const off = { enabled: false, accessToken: 'hidden' }
    const emulator = await start({ users: { u1: { slack: off } }, contexts: { c1: { slack: off } } })
    const flat = (await ask(emulator, '/connections/u1/slack')).json
    expect(flat).toMatchObject({ connection: { enabled: false }, authorization: null })
    const nested = (await ask(emulator, '/contexts/c1/connections/slack')).json
    expect(nested).toMatchObject({ connection: { enabled: false, authorization: null } })
  })

  test('a connector that a known owner has not set up is not enabled', async () => {
    const emulator = await start({ users: { u1: {} } })
    const { status, json } = await ask(emulator, '/connections/u1/slack')
    expect(status).toBe(200)
    expect(json).toMatchObject({
      connection: { enabled: false },
      connector: { slug: 'slack' },
      authorization: null,
    })
  })

  test('an owner that nobody named is a JSON 404, also if another kind has that id', async () => {
    const emulator = await start({ users: { one: {} }, groups: { two: {} }, contexts: { three: {} } })
    for (const path of [
      '/connections/two/slack',
      '/connections/three/slack',
      '/groups/one/connections/slack',
      '/groups/three/connections/slack',
      '/contexts/one/connections/slack',
      '/contexts/two/connections/slack',
    ]) {
      const { status, json } = await ask(emulator, path)
      expect(status).toBe(404)
      expect(json).toEqual({ error: expect.stringMatching(/not been provisioned/) })
    }
  })

  test.each([
    '',
    '/',
    '?a=b',
    '/connections/u1',
    '/connections/u1/',
    '/connections//slack',
    '/connections/u1/slack/',
    '/connections/u1/slack/more',
    '/groups/u1/slack',
    '/groups//connections/slack',
    '/users/u1/connections/slack',
  ])('the unknown path %p is a plain-text 404, so that it is not taken for an unknown owner', async path => {
    const emulator = await start({ users: { u1: { slack: {} } }, groups: { u1: { slack: {} } } })
    const { status, headers, json } = await ask(emulator, path)
    expect(status).toBe(404)
    expect(headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(json).toBeUndefined()
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('the method %s is a 405', async method => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    const { status, headers, json } = await ask(emulator, '/connections/u1/slack', { method })
    expect(status).toBe(405)
    expect(headers.allow).toBe('GET')
    expect(json).toEqual({ error: 'Method not allowed' })
  })

  test.each([
    ['none', undefined],
    ['another secret', basic('pk_mine', 'sk_other')],
    ['another publishable key', basic('pk_other', 'sk_mine')],
    ['swapped keys', basic('sk_mine', 'pk_mine')],
    ['a bearer token', 'Bearer sk_mine'],
    ['garbage', 'Basic'],
  ])('credentials that are %s are a JSON 401', async (_, authorization) => {
    const keys = { publishableKey: 'pk_mine', secretKey: 'sk_mine' }
    const emulator = await start({ ...keys, users: { u1: { slack: {} } } })
    const response = await fetch(`${emulator.baseUrl}/connections/u1/slack`, {
      headers: authorization === undefined ? {} : { authorization },
    })
    expect(response.status).toBe(401)
    expect(await response.json()).toEqual({ error: 'Invalid API key' })
  })

  test('the keys can be chosen, and may hold what a password may', async () => {
    const emulator = await start({ publishableKey: 'pk_a', secretKey: 'sk:ä:b', users: { u1: {} } })
    expect(emulator).toMatchObject({ publishableKey: 'pk_a', secretKey: 'sk:ä:b' })
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
    const authorization = basic('pk_a', 'sk_b')
    expect((await ask(emulator, '/connections/u1/slack', { headers: { authorization } })).status).toBe(401)
  })

  test.each([
    '/connections/%/slack',
    '/connections/u1/%zz',
    '/connections/%ff/slack',
    '/connections/%C3/slack',
  ])('the badly encoded path %s is a 400', async path => {
    const emulator = await start({ users: { u1: {} } })
    const { status, json } = await ask(emulator, path)
    expect(status).toBe(400)
    expect(json).toEqual({ error: expect.any(String) })
  })

  test.each([
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'a/b',
    'a b?c#d%2e;@:+',
    'é',
    'e\u0301',
    '🦀',
    '%2e%2e',
    '1',
  ])('the id %p is an id like any other', async id => {
    const emulator = await start({ users: { bystander: { slack: {} } } })
    const encoded = encodeURIComponent(id)
    expect((await ask(emulator, `/connections/${encoded}/slack`)).status).toBe(404)
    expect((await ask(emulator, `/connections/bystander/${encoded}`)).json.connection.enabled).toBe(false)
    emulator.setConnection(id, id, { accessToken: 'mine' })
    const { json } = await ask(emulator, `/connections/${encoded}/${encoded}`)
    expect(json).toMatchObject({ connector: { slug: id }, authorization: { access_token: 'mine' } })
    expect((await ask(emulator, `/connections/${encoded}/slack`)).json.connection.enabled).toBe(false)
  })

  test('a seed from JSON may name __proto__, and inherited ids are no seeds', async () => {
    const users = JSON.parse('{ "__proto__": { "__proto__": { "accessToken": "mine" } } }')
    const emulator = await start({ users, groups: Object.create({ ghost: { slack: {} } }) })
    const { json } = await ask(emulator, '/connections/__proto__/__proto__')
    expect(json.authorization.access_token).toBe('mine')
    expect((await ask(emulator, '/groups/ghost/connections/slack')).status).toBe(404)
  })

  test('a query does not change which connection is meant', async () => {
    const emulator = await start({ users: { u1: { slack: { accessToken: 't' } } } })
    const { json } = await ask(emulator, '/connections/u1/slack?x=/y')
    expect(json.authorization.access_token).toBe('t')
  })
})

describe('setConnection and rotateToken', () => {
  test('an owner may be a plain string for a user, or name its kind', async () => {
    const emulator = await start()
    emulator.setConnection('u1', 'slack', { accessToken: 'a' })
    emulator.setConnection({ user: 'u2' }, 'slack', { accessToken: 'b' })
    emulator.setConnection({ group: 'u1' }, 'slack', { accessToken: 'c' })
    emulator.setConnection({ context: 'u1' }, 'slack', { accessToken: 'd' })
    const user = async id => (await ask(emulator, `/connections/${id}/slack`)).json.authorization.access_token
    expect(await user('u1')).toBe('a')
    expect(await user('u2')).toBe('b')
    const group = (await ask(emulator, '/groups/u1/connections/slack')).json
    expect(group.authorization.access_token).toBe('c')
    const context = (await ask(emulator, '/contexts/u1/connections/slack')).json
    expect(context.connection.authorization.credential).toBe('d')
  })

  test('setConnection replaces the whole state, but the connection keeps its id', async () => {
    const emulator = await start({
      users: { u1: { slack: { status: 'error', errorCode: 'gone', accessToken: 'old', expiresIn: 60 } } },
    })
    const before = (await ask(emulator, '/connections/u1/slack')).json
    emulator.setConnection('u1', 'slack', {})
    const after = (await ask(emulator, '/connections/u1/slack')).json
    expect(after.connection).toEqual(before.connection)
    expect(after.authorization).toMatchObject({ status: 'active', error_code: null })
    expect(after.authorization.access_token).toMatch(/^emulated-token-/)
    expect(after.authorization).not.toHaveProperty('expires_at')
    emulator.setConnection('u1', 'slack')
    const again = (await ask(emulator, '/connections/u1/slack')).json
    expect(again.authorization.access_token).not.toBe(after.authorization.access_token)
  })

  test('rotateToken returns the token that is answered from then on', async () => {
    const emulator = await start({ groups: { acme: { slack: { accessToken: 'old' } } } })
    const token = emulator.rotateToken({ group: 'acme' }, 'slack')
    expect(token).toMatch(/^emulated-token-/)
    const { json } = await ask(emulator, '/groups/acme/connections/slack')
    expect(json.authorization.access_token).toBe(token)
    expect(emulator.rotateToken({ group: 'acme' }, 'slack')).not.toBe(token)
  })

  test('rotateToken without an active token is a clear error', async () => {
    const users = { u1: { off: { enabled: false }, broken: { status: 'error' } } }
    const emulator = await start({ users })
    for (const [owner, slug] of [
      ['u2', 'slack'],
      ['u1', 'slack'],
      ['u1', 'off'],
      ['u1', 'broken'],
      [{ group: 'u1' }, 'off'],
    ]) {
      expect(() => emulator.rotateToken(owner, slug)).toThrow(
        expect.objectContaining({
          code: 'ERR_EMULATOR_NO_ACTIVE_TOKEN',
          message: expect.stringMatching(/no active token/),
        }),
      )
    }
  })

  test('expiresIn is answered as what is left, and the platform refreshes by itself once it is over', async () => {
    const now = jest.spyOn(clock, 'now').mockReturnValue(Date.UTC(2030, 0, 1))
    const emulator = await start({ users: { u1: { slack: { accessToken: 'first', expiresIn: 60 } } } })
    const at = async milliseconds => {
      now.mockReturnValue(Date.UTC(2030, 0, 1) + milliseconds)
      return (await ask(emulator, '/connections/u1/slack')).json.authorization
    }
    const first = { access_token: 'first', expires_at: '2030-01-01T00:01:00.000Z' }
    expect(await at(0)).toMatchObject({ ...first, expires_in: 60 })
    expect(await at(20_500)).toMatchObject({ ...first, expires_in: 39 })
    expect(await at(59_999)).toMatchObject({ ...first, expires_in: 0 })
    const fresh = await at(60_000)
    expect(fresh).toMatchObject({ expires_in: 60, expires_at: '2030-01-01T00:02:00.000Z' })
    expect(fresh.access_token).toMatch(/^emulated-token-/)
    expect((await at(119_999)).access_token).toBe(fresh.access_token)
    expect((await at(500_000)).access_token).not.toBe(fresh.access_token)
    emulator.rotateToken('u1', 'slack')
    expect(await at(500_000)).toMatchObject({ expires_in: 60 })
  })
})

describe('failNext', () => {
  test('the default is one 503 with a JSON error', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    emulator.failNext()
    const failed = await ask(emulator, '/connections/u1/slack')
    expect(failed.status).toBe(503)
    expect(failed.json).toEqual({ error: expect.any(String) })
    expect(failed.headers).not.toHaveProperty('retry-after')
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
  })

  test('several calls queue up in order, and each lasts as often as it says', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    const plan = { status: 429, retryAfter: 7, times: 2 }
    emulator.failNext(plan)
    plan.times = 9
    emulator.failNext({ status: 500, retryAfter: 'soon' })
    emulator.failNext({ status: 204 })
    const seen = []
    for (let count = 0; count < 5; count += 1) {
      const { status, headers } = await ask(emulator, '/connections/u1/slack')
      seen.push([status, headers['retry-after']])
    }
    expect(seen).toEqual([
      [429, '7'],
      [429, '7'],
      [500, 'soon'],
      [204, undefined],
      [200, undefined],
    ])
  })

  test('any API request is met, also one that would be refused', async () => {
    const emulator = await start()
    emulator.failNext({ status: 502, times: 2 })
    expect((await ask(emulator, '/nowhere')).status).toBe(502)
    expect((await ask(emulator, '/connections/u1/slack', { headers: { authorization: '' } })).status).toBe(
      502,
    )
  })

  test('the catalog neither meets a planned failure nor uses one up', async () => {
    const emulator = await start()
    emulator.failNext()
    expect((await fetch(emulator.catalogUrl)).status).toBe(200)
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(503)
  })

  test('reset is a TCP reset without an answer', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    emulator.failNext({ fault: 'reset' })
    const socket = await connect(emulator)
    socket.write(requestText(emulator, '/connections/u1/slack'))
    expect(await ending(socket)).toEqual({ text: '', error: 'ECONNRESET' })
    expect(emulator.requests[0].status).toBe(0)
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
  })

  test('a request that waits behind a reset one has no answer either', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    emulator.failNext({ fault: 'reset' })
    const socket = await connect(emulator)
    socket.write(requestText(emulator, '/connections/u1/slack').repeat(2))
    expect((await ending(socket)).text).toBe('')
    expect(emulator.requests.map(({ status }) => status)).toEqual([0, 0])
  })

  test('stall never answers, and lets go when the client leaves', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    emulator.failNext({ fault: 'stall' })
    const arrived = arrival(emulator)
    const socket = await connect(emulator, { allowHalfOpen: true })
    const ended = ending(socket)
    socket.write(requestText(emulator, '/connections/u1/slack'))
    await arrived
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
    socket.end()
    expect(await ended).toEqual({ text: '', error: undefined })
    expect(emulator.requests.map(({ status }) => status)).toEqual([0, 200])
  })

  test('truncate sends the headers of the whole and half of the body', async () => {
    const emulator = await start({ users: { u1: { slack: { accessToken: 'whole' } } } })
    const whole = (await ask(emulator, '/connections/u1/slack')).text
    emulator.failNext({ fault: 'truncate' })
    const socket = await connect(emulator)
    socket.write(requestText(emulator, '/connections/u1/slack'))
    const { text, error } = await ending(socket)
    const [head, body] = text.split('\r\n\r\n')
    expect(error).toBeUndefined()
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(head).toMatch(new RegExp(`content-length: ${whole.length}\r\n`))
    expect(body).toBe(whole.slice(0, Math.floor(whole.length / 2)))
    expect(emulator.requests[1].status).toBe(200)
  })
})

describe('latencyMs', () => {
  test('delays each API answer, and can be changed at any time', async () => {
    const emulator = await start({ users: { u1: { slack: {} } }, latencyMs: 40 })
    const timed = async () => {
      const begin = performance.now()
      await ask(emulator, '/connections/u1/slack')
      return performance.now() - begin
    }
    // A timer may be a millisecond early by another clock.
    expect(await timed()).toBeGreaterThanOrEqual(38)
    expect(emulator.latencyMs).toBe(40)
    emulator.latencyMs = 60
    expect(await timed()).toBeGreaterThanOrEqual(58)
    emulator.latencyMs = 100_000
    await expect(fetch(emulator.catalogUrl)).resolves.toMatchObject({ status: 200 })
    emulator.latencyMs = 0
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      expect(() => {
        emulator.latencyMs = value
      }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }))
    }
    expect(() => {
      emulator.latencyMs = '5'
    }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
    expect(emulator.latencyMs).toBe(0)
  })

  test('a planned failure is counted at the arrival, not at the delayed answer', async () => {
    const emulator = await start({ users: { u1: { slack: {} } }, latencyMs: 30 })
    emulator.failNext()
    const arrived = arrival(emulator)
    const first = ask(emulator, '/connections/u1/slack')
    await arrived
    emulator.latencyMs = 0
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
    expect((await first).status).toBe(503)
  })
})

test('requests are recorded in the order of arrival, each path exactly as on the wire', async () => {
  const emulator = await start({ users: { u1: { slack: {} } }, latencyMs: 30 })
  const arrived = arrival(emulator)
  const slow = ask(emulator, '/connections/u1/slack')
  await arrived
  emulator.latencyMs = 0
  await ask(emulator, '/connections/../%75%2F1/sl%61ck?x=%20')
  await ask(emulator, '/connections/u9/slack', { method: 'POST' })
  await slow
  await fetch(`${emulator.catalogUrl}/connectors/slack`)
  expect(emulator.requests).toEqual([
    { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
    { method: 'GET', path: '/api/platform/connections/../%75%2F1/sl%61ck?x=%20', status: 404 },
    { method: 'POST', path: '/api/platform/connections/u9/slack', status: 405 },
  ])
})

test('the record keeps the latest 100,000 requests', async () => {
  const emulator = await start()
  for (let count = 0; count < 100_000; count += 1) emulator.requests.push({ path: `/${count}` })
  await ask(emulator, '/last')
  expect(emulator.requests).toHaveLength(100_000)
  expect(emulator.requests[0].path).toBe('/1')
  expect(emulator.requests.at(-1).path).toBe('/api/platform/last')
})

describe('sendWebhook', () => {
  async function receive(event, status = 204) {
    const received = []
    const url = await startReceiver(async (request, response) => {
      const chunks = []
      for await (const chunk of request) chunks.push(chunk)
      const { method, url: path, headers } = request
      received.push({ method, path, headers, body: Buffer.concat(chunks).toString() })
      response.writeHead(status).end()
    })
    const emulator = await start()
    const result = await emulator.sendWebhook(`${url}/hooks?a=1`, event)
    expect(received).toHaveLength(1)
    return { result, ...received[0] }
  }

  test('posts the documented JSON and resolves to the status of the answer', async () => {
    const { result, method, path, headers, body } = await receive({
      type: 'connection.enabled',
      owner: { group: 'acmé' },
      slug: 'slack',
      connectionId: 'c-1',
    })
    expect(result).toEqual({ status: 204, attempts: 1 })
    expect([method, path]).toEqual(['POST', '/hooks?a=1'])
    // A connection kept for later would outlive close().
    expect(headers).toMatchObject({ 'content-type': 'application/json', connection: 'close' })
    expect(JSON.parse(body)).toEqual({
      event_type: 'connection.enabled',
      payload: {
        connector: { slug: 'slack' },
        context: { external_id: 'acmé' },
        connection: { external_id: 'c-1' },
      },
    })
  })

  test('leaves the connection out if none is named, and does not judge the answer', async () => {
    const { result, body } = await receive({ type: 'connection.disabled', owner: 'u1', slug: 'slack' }, 500)
    expect(result).toEqual({ status: 500, attempts: 1 })
    expect(JSON.parse(body).payload).toEqual({ connector: { slug: 'slack' }, context: { external_id: 'u1' } })
  })

  test('accepts a URL object, and does not follow a redirect', async () => {
    let count = 0
    const url = await startReceiver((_, response) => {
      count += 1
      response.writeHead(307, { location: '/elsewhere' }).end()
    })
    const emulator = await start()
    const event = { type: 'connection.enabled', owner: 'u1', slug: 'slack' }
    expect(await emulator.sendWebhook(new URL(url), event)).toEqual({ status: 307, attempts: 1 })
    expect(count).toBe(1)
  })

  test('rejects clearly if the network fails', async () => {
    const url = await startReceiver(request => request.socket.destroy())
    const emulator = await start()
    const event = { type: 'connection.enabled', owner: 'u1', slug: 'slack' }
    await expect(emulator.sendWebhook(url, event)).rejects.toMatchObject({
      code: 'ERR_EMULATOR_WEBHOOK',
      message: 'The webhook was not delivered: ECONNRESET',
      cause: { code: 'ECONNRESET' },
    })
  })

  test('gives up when its time is over, before the answer and within its body', async () => {
    const event = { type: 'x', owner: { kind: 'user', id: 'u1' }, slug: 'slack' }
    const sender = createWebhookSender({ timeoutMs: 30 })
    const expected = { code: 'ERR_EMULATOR_WEBHOOK', message: expect.stringMatching(/within 30 ms/) }
    const silent = await startReceiver(() => {})
    await expect(sender.send(new URL(silent), event)).rejects.toMatchObject(expected)
    const endless = await startReceiver((_, response) => response.writeHead(200).write('a'))
    await expect(sender.send(new URL(endless), event)).rejects.toMatchObject(expected)
  })

  test('close() ends one under way and refuses later ones', async () => {
    const emulator = await start()
    const receiver = {}
    const received = new Promise(resolve => {
      receiver.arrived = resolve
    })
    const url = await startReceiver(request => {
      receiver.left = once(request.socket, 'close')
      receiver.arrived()
    })
    const event = { type: 'connection.enabled', owner: 'u1', slug: 'slack' }
    const pending = emulator.sendWebhook(url, event)
    const rejection = expect(pending).rejects.toMatchObject({
      code: 'ERR_EMULATOR_WEBHOOK',
      message: expect.stringMatching(/was closed/),
    })
    await received
    await emulator.close()
    await rejection
    await receiver.left
    await expect(emulator.sendWebhook(url, event)).rejects.toMatchObject({
      message: expect.stringMatching(/is closed/),
    })
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', undefined, {}],
    ['ERR_INVALID_ARG_VALUE', 'nonsense', {}],
    ['ERR_INVALID_ARG_VALUE', 'file:///etc/hosts', {}],
    ['ERR_INVALID_ARG_TYPE', 'http://localhost', undefined],
    ['ERR_INVALID_ARG_TYPE', 'http://localhost', { owner: 'u1', slug: 'slack' }],
    ['ERR_INVALID_ARG_VALUE', 'http://localhost', { type: '', owner: 'u1', slug: 'slack' }],
    ['ERR_INVALID_ARG_TYPE', 'http://localhost', { type: 'x', slug: 'slack' }],
    ['ERR_INVALID_ARG_TYPE', 'http://localhost', { type: 'x', owner: 'u1' }],
    ['ERR_INVALID_ARG_TYPE', 'http://localhost', { type: 'x', owner: 'u1', slug: 's', connectionId: 1 }],
    ['ERR_INVALID_ARG_VALUE', 'http://localhost', { type: 'x', owner: 'u1', slug: 's', id: '1' }],
  ])('rejects with %s for %j and %j', async (code, url, event) => {
    const emulator = await start()
    await expect(emulator.sendWebhook(url, event)).rejects.toMatchObject({ name: 'TypeError', code })
  })
})

describe('close', () => {
  test('ends stalled, delayed, idle and silent connections, and may be called again', async () => {
    const emulator = await startEmulator({ users: { u1: { slack: {} } } })
    const agent = new http.Agent({ keepAlive: true })
    let idleSocket
    agent.on('free', socket => {
      idleSocket = socket
    })
    await ask(emulator, '/connections/u1/slack', { agent })
    const silent = await connect(emulator)
    const partial = await connect(emulator)
    partial.write('POST /connectors/slack HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nkind=')
    emulator.failNext({ fault: 'stall' })
    const stalled = await connect(emulator)
    let arrived = arrival(emulator)
    stalled.write(requestText(emulator, '/connections/u1/slack'))
    await arrived
    emulator.latencyMs = 100_000
    const delayed = await connect(emulator)
    arrived = arrival(emulator)
    delayed.write(requestText(emulator, '/connections/u1/slack'))
    await arrived

    const endings = [idleSocket, silent, partial, stalled, delayed].map(ending)
    const first = emulator.close()
    await Promise.all([first, emulator.close()])
    await emulator.close()
    for (const { text } of await Promise.all(endings)) expect(text).toBe('')
    expect(emulator.requests.map(({ status }) => status)).toEqual([200, 0, 0])
    await expect(ask(emulator, '/connections/u1/slack')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('leaves nothing behind that keeps a process alive', async () => {
    const script = `
      const net = require('node:net')
      const { startEmulator } = require(${JSON.stringify(require.resolve('../emulator/index.js'))})
      async function main() {
        const hooked = await startEmulator()
        const emulator = await startEmulator({ latencyMs: 2_000_000 })
        const webhook = emulator.sendWebhook(hooked.baseUrl, { type: 'x', owner: 'u1', slug: 'slack' })
        hooked.failNext({ fault: 'stall' })
        const client = net.connect(new URL(emulator.baseUrl).port, '127.0.0.1')
        client.on('error', () => {})
        client.write('GET /api/platform/ HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
        const { requests } = emulator
        await new Promise(resolve => { requests.push = () => resolve() })
        await Promise.all([emulator.close(), webhook.catch(() => {})])
        await hooked.close()
      }
      main()`
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 4000 })
    expect([stdout, stderr]).toEqual(['', ''])
  })

  test('the port is free at once, and a taken one is a rejection', async () => {
    const first = await start()
    const port = Number(new URL(first.catalogUrl).port)
    await expect(startEmulator({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await first.close()
    const second = await start({ port })
    expect(second.baseUrl).toBe(`http://127.0.0.1:${port}/api/platform`)
    expect(second.catalogUrl).toBe(`http://127.0.0.1:${port}`)
  })

  const disposable = Symbol.asyncDispose ? test : test.skip
  disposable('is what asyncDispose does', async () => {
    const emulator = await start()
    await emulator[Symbol.asyncDispose]()
    await expect(ask(emulator, '/')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('wrong arguments', () => {
  test.each([
    ['ERR_INVALID_ARG_TYPE', null],
    ['ERR_INVALID_ARG_TYPE', 'text'],
    ['ERR_INVALID_ARG_TYPE', []],
    ['ERR_INVALID_ARG_VALUE', { prot: 1 }],
    ['ERR_INVALID_ARG_TYPE', { port: '4010' }],
    ['ERR_INVALID_ARG_VALUE', { port: 65_536 }],
    ['ERR_INVALID_ARG_VALUE', { port: 1.5 }],
    ['ERR_INVALID_ARG_VALUE', { port: -1 }],
    ['ERR_INVALID_ARG_TYPE', { publishableKey: 1 }],
    ['ERR_INVALID_ARG_VALUE', { publishableKey: '' }],
    ['ERR_INVALID_ARG_VALUE', { publishableKey: 'a:b' }],
    ['ERR_INVALID_ARG_TYPE', { secretKey: null }],
    ['ERR_INVALID_ARG_VALUE', { secretKey: 'a\n' }],
    ['ERR_INVALID_ARG_VALUE', { shape: 'round' }],
    ['ERR_INVALID_ARG_TYPE', { shape: 1 }],
    ['ERR_INVALID_ARG_VALUE', { latencyMs: -1 }],
    ['ERR_INVALID_ARG_TYPE', { users: [] }],
    ['ERR_INVALID_ARG_TYPE', { users: { u1: null } }],
    ['ERR_INVALID_ARG_TYPE', { users: { u1: { slack: 'token' } } }],
    ['ERR_INVALID_ARG_TYPE', { users: { u1: { slack: undefined } } }],
    ['ERR_INVALID_ARG_VALUE', { users: { '': {} } }],
    ['ERR_INVALID_ARG_VALUE', { groups: { '..': {} } }],
    ['ERR_INVALID_ARG_VALUE', { contexts: { c1: { '\n': {} } } }],
  ])('startEmulator rejects with %s for %j', async (code, options) => {
    const emulator = startEmulator(options)
    // What starts by mistake must not outlive the test.
    emulator.then(
      started => cleanUps.push(() => started.close()),
      () => {},
    )
    await expect(emulator).rejects.toMatchObject({ name: 'TypeError', code })
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', undefined, 'slack', {}],
    ['ERR_INVALID_ARG_TYPE', 1, 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', '', 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', ' ', 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', '.', 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', 'a\u0000', 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', '\ud800', 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', 'é'.repeat(513), 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', {}, 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', { user: 'a', group: 'b' }, 'slack', {}],
    ['ERR_INVALID_ARG_VALUE', { company: 'a' }, 'slack', {}],
    ['ERR_INVALID_ARG_TYPE', { group: 5 }, 'slack', {}],
    ['ERR_INVALID_ARG_TYPE', 'u1', undefined, {}],
    ['ERR_INVALID_ARG_VALUE', 'u1', '..', {}],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', null],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', { enabled: 'yes' }],
    ['ERR_INVALID_ARG_VALUE', 'u1', 'slack', { status: 'actve' }],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', { accessToken: 1 }],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', { errorCode: null }],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', { errorMessage: {} }],
    ['ERR_INVALID_ARG_TYPE', 'u1', 'slack', { expiresIn: '60' }],
    ['ERR_INVALID_ARG_VALUE', 'u1', 'slack', { expiresIn: 0 }],
    ['ERR_INVALID_ARG_VALUE', 'u1', 'slack', { expiresIn: Number.POSITIVE_INFINITY }],
    ['ERR_INVALID_ARG_VALUE', 'u1', 'slack', { token: 'a' }],
  ])('setConnection throws %s for %j, %j, %j, and changes nothing', async (code, owner, slug, state) => {
    const emulator = await start()
    expect(() => emulator.setConnection(owner, slug, state)).toThrow(
      expect.objectContaining({ name: 'TypeError', code }),
    )
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(404)
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', 503],
    ['ERR_INVALID_ARG_TYPE', { status: '503' }],
    ['ERR_INVALID_ARG_VALUE', { status: 199 }],
    ['ERR_INVALID_ARG_VALUE', { status: 600 }],
    ['ERR_INVALID_ARG_VALUE', { fault: 'explode' }],
    ['ERR_INVALID_ARG_VALUE', { fault: 'reset', status: 500 }],
    ['ERR_INVALID_ARG_VALUE', { fault: 'reset', retryAfter: 1 }],
    ['ERR_INVALID_ARG_VALUE', { times: 0 }],
    ['ERR_INVALID_ARG_VALUE', { times: Number.POSITIVE_INFINITY }],
    ['ERR_INVALID_ARG_VALUE', { retryAfter: -1 }],
    ['ERR_INVALID_ARG_VALUE', { retryAfter: 'a\r\nb: c' }],
    ['ERR_INVALID_ARG_TYPE', { retryAfter: true }],
    ['ERR_INVALID_ARG_VALUE', { retries: 1 }],
  ])('failNext throws %s for %j, and plans nothing', async (code, plan) => {
    const emulator = await start({ users: { u1: {} } })
    expect(() => emulator.failNext(plan)).toThrow(expect.objectContaining({ name: 'TypeError', code }))
    expect((await ask(emulator, '/connections/u1/slack')).status).toBe(200)
  })

  test('an id of exactly 1,024 bytes is accepted', async () => {
    const emulator = await start()
    const id = 'é'.repeat(512)
    emulator.setConnection(id, 'slack', { accessToken: 't' })
    const { json } = await ask(emulator, `/connections/${encodeURIComponent(id)}/slack`)
    expect(json.authorization.access_token).toBe('t')
  })

  test('messages name the place, never the value', async () => {
    const users = { 'secret-owner': { slack: { status: 'secret-status', accessToken: 'secret-token' } } }
    const failed = await startEmulator({ users }).catch(error => error)
    expect(failed.message).toBe(
      'options.users.<id>.slack.status must be one of: active, awaiting_callback, retrieving_tokens, error',
    )
  })

  test('inherited and polluted fields are no options', async () => {
    const names = [
      'status',
      'enabled',
      'accessToken',
      'fault',
      'times',
      'port',
      'shape',
      'latencyMs',
      'group',
    ]
    for (const name of names) {
      Object.defineProperty(Object.prototype, name, { value: 'polluted', configurable: true, writable: true })
    }
    try {
      const emulator = await start({ users: { u1: { slack: {} } } })
      emulator.setConnection({ user: 'u2' }, 'slack', Object.create({ enabled: false }))
      for (const id of ['u1', 'u2']) {
        const { json } = await ask(emulator, `/connections/${id}/slack`)
        expect(json.authorization.access_token).toMatch(/^emulated-token-/)
      }
      emulator.failNext({})
      expect((await ask(emulator, '/connections/u1/slack')).status).toBe(503)
    } finally {
      for (const name of names) delete Object.prototype[name]
    }
  })
})
