// Owns the proof of the emulator's tokens at work: which of them its service takes, and how webhooks are repeated.
'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')
const clock = require('../emulator/clock.js')
const { createWebhookSender } = require('../emulator/webhook.js')
const { deferred } = require('./support/rigs')

const cleanUps = []

afterEach(async () => {
  jest.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function start(options = { users: { u1: { salesforce: { accessToken: 'xoxb-1' } } } }) {
  const emulator = await startEmulator(options)
  cleanUps.push(() => emulator.close())
  return emulator
}

function use(emulator, token, path = '/salesforce/me', init) {
  return fetch(emulator.serviceUrl + path, { ...init, headers: { authorization: `Bearer ${token}` } })
}

async function statusOf(...args) {
  const response = await use(...args)
  await response.arrayBuffer()
  return response.status
}

/** The token that the platform hands out now. */
async function handedOut({ baseUrl, publishableKey, secretKey }, path = '/connections/u1/salesforce') {
  const authorization = `Basic ${btoa(`${publishableKey}:${secretKey}`)}`
  const response = await fetch(baseUrl + path, { headers: { authorization } })
  return (await response.json()).authorization.access_token
}

describe('the service', () => {
  test('takes the token of a connection and says whose it is', async () => {
    const emulator = await start({
      users: { u1: { salesforce: { accessToken: 'of-user' } } },
      groups: { acme: { salesforce: { accessToken: 'of-group' } } },
      contexts: { c1: { salesforce: { accessToken: 'of-context' } } },
    })
    expect(emulator.serviceUrl).toBe(`${emulator.catalogUrl}/service`)
    for (const [token, kind, id] of [
      ['of-user', 'user', 'u1'],
      ['of-group', 'group', 'acme'],
      ['of-context', 'context', 'c1'],
    ]) {
      const response = await use(emulator, token)
      expect(response.status).toBe(200)
      expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
      expect(await response.json()).toEqual({ slug: 'salesforce', owner: { kind, id } })
    }
  })

  test.each([
    ['another token', 'Bearer xoxb-2'],
    ['the token with more behind it', 'Bearer xoxb-1x'],
    ['no token', 'Bearer'],
    ['another scheme', `Basic ${btoa('xoxb-1:')}`],
    ['nothing', undefined],
  ])('refuses %s', async (_what, authorization) => {
    const emulator = await start()
    const headers = authorization === undefined ? {} : { authorization }
    const response = await fetch(`${emulator.serviceUrl}/salesforce/me`, { headers })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
    expect(await response.json()).toEqual({ error: 'invalid_token' })
  })

  test('refuses the token of another connector', async () => {
    const emulator = await start()
    expect(await statusOf(emulator, 'xoxb-1', '/github/me')).toBe(401)
  })

  test.each([
    ['of a connection that is not enabled', { enabled: false }],
    ['of a connection that broke', { status: 'error' }],
    ['of a connection that is under way', { status: 'awaiting_callback' }],
  ])('refuses the token %s', async (_what, state) => {
    const emulator = await start({ users: { u1: { salesforce: { accessToken: 'xoxb-1', ...state } } } })
    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
  })

  test('takes any method, path, query and body', async () => {
    const emulator = await start()
    const statuses = [
      await statusOf(emulator, 'xoxb-1', '/salesforce'),
      await statusOf(emulator, 'xoxb-1', '/salesforce/a/b?c=/github/', { method: 'DELETE' }),
      await statusOf(emulator, 'xoxb-1', '/salesforce/a', { method: 'POST', body: 'x'.repeat(1 << 20) }),
      await statusOf(emulator, 'xoxb-1', '/salesforce/a', { method: 'HEAD' }),
    ]
    expect(statuses).toEqual([200, 200, 200, 200])
  })

  test('knows connectors of any name', async () => {
    const emulator = await start()
    for (const slug of ['__proto__', 'a/b', 'é?#', '%2e']) {
      emulator.setConnection('u1', slug, { accessToken: `of-${slug.length}` })
      expect(await statusOf(emulator, `of-${slug.length}`, `/${encodeURIComponent(slug)}/me`)).toBe(200)
    }
  })

  test.each(['/', '//me', '/%zz/me', '/%ff'])('has nothing at %p', async path => {
    const emulator = await start()
    const response = await use(emulator, 'xoxb-1', path)
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({ error: 'The path names no connector' })
  })

  test('is recorded by itself, and untouched by failNext', async () => {
    const emulator = await start()
    emulator.failNext()
    await statusOf(emulator, 'xoxb-1', '/salesforce/a?b=c', { method: 'POST' })
    await statusOf(emulator, 'other', '/salesforce/a')

    expect(emulator.serviceRequests).toEqual([
      { method: 'POST', path: '/service/salesforce/a?b=c', status: 200 },
      { method: 'GET', path: '/service/salesforce/a', status: 401 },
    ])
    expect(emulator.requests).toEqual([])
  })

  test('has status 0 in the record when the client left before its answer', async () => {
    const emulator = await start()
    const { port } = new URL(emulator.serviceUrl)
    const request = http.request({ port, host: '127.0.0.1', path: '/service/salesforce/me', method: 'POST' })
    request.on('error', () => {})
    const arrived = new Promise(resolve => {
      emulator.serviceRequests.push = (...entries) => {
        delete emulator.serviceRequests.push
        resolve()
        return emulator.serviceRequests.push(...entries)
      }
    })
    request.write('the first half')
    await arrived
    // Not by `once` of node:events, which rejects with the error of the hang-up.
    const closed = new Promise(resolve => request.once('close', resolve))
    request.destroy()
    await closed
    await statusOf(emulator, 'xoxb-1')

    expect(emulator.serviceRequests.map(({ status }) => status)).toEqual([0, 200])
  })

  test('keeps the latest 100,000 in its record', async () => {
    const emulator = await start()
    for (let count = 0; count < 100_000; count += 1) emulator.serviceRequests.push({ path: `/${count}` })
    await statusOf(emulator, 'xoxb-1')
    expect(emulator.serviceRequests).toHaveLength(100_000)
    expect(emulator.serviceRequests[0].path).toBe('/1')
  })
})

describe('a service that differs from most', () => {
  const seed = { accessToken: 'valid-1' }

  async function ask(slug, authorization) {
    const emulator = await start({ users: { u1: { [slug]: seed } } })
    const headers = authorization === undefined ? {} : { authorization }
    const response = await fetch(`${emulator.serviceUrl}/${slug}/me`, { headers })
    return { status: response.status, body: await response.json() }
  }

  test.each(['Bearer', 'bearer', 'token', 'Token'])('GitHub takes the scheme %s', async scheme => {
    expect(await ask('github', `${scheme} valid-1`)).toEqual({
      status: 200,
      body: { slug: 'github', owner: { kind: 'user', id: 'u1' } },
    })
    expect(await ask('github', `${scheme} other`)).toEqual({ status: 401, body: { error: 'invalid_token' } })
  })

  test('any other service does not take the scheme of GitHub', async () => {
    expect((await ask('gitlab', 'token valid-1')).status).toBe(401)
    expect((await ask('slack', 'token valid-1')).body).toEqual({ ok: false, error: 'not_authed' })
  })

  test.each([
    ['Bearer valid-1', { ok: true, slug: 'slack', owner: { kind: 'user', id: 'u1' } }],
    ['Bearer other', { ok: false, error: 'invalid_auth' }],
    [undefined, { ok: false, error: 'not_authed' }],
  ])('Slack answers %p with a 200 that says whether it worked', async (authorization, body) => {
    expect(await ask('slack', authorization)).toEqual({ status: 200, body })
  })

  test('the refusal of Slack is repaired as any other', async () => {
    const emulator = await start({ users: { u1: { slack: {} } } })
    const { baseUrl, publishableKey, secretKey } = emulator
    const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
    await xkit.getAccessToken('u1', 'slack')
    emulator.revokeToken('u1', 'slack')
    const url = `${emulator.serviceUrl}/slack/auth.test`
    expect(await (await xkit.fetch('u1', 'slack', url)).json()).toMatchObject({ ok: true })
    expect(emulator.serviceRequests).toHaveLength(2)
    await xkit.close()
  })
})

describe('a token that was replaced', () => {
  test('by rotation is refused, and the new one taken', async () => {
    const emulator = await start()
    const rotated = emulator.rotateToken('u1', 'salesforce')
    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
    expect(await statusOf(emulator, rotated)).toBe(200)
  })

  test('by setConnection is refused, and taken again once it is back', async () => {
    const emulator = await start()
    emulator.setConnection('u1', 'salesforce', { accessToken: 'xoxb-2' })
    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
    emulator.setConnection('u1', 'salesforce', { accessToken: 'xoxb-1' })
    expect(await statusOf(emulator, 'xoxb-1')).toBe(200)
  })

  test('by the end of its life is refused from that moment, asked for or not', async () => {
    const now = jest.spyOn(clock, 'now').mockReturnValue(1e12)
    const emulator = await start({ users: { u1: { salesforce: { accessToken: 'xoxb-1', expiresIn: 60 } } } })
    now.mockReturnValue(1e12 + 59_999)
    expect(await statusOf(emulator, 'xoxb-1')).toBe(200)
    now.mockReturnValue(1e12 + 60_000)
    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
    expect(await statusOf(emulator, await handedOut(emulator))).toBe(200)
  })
})

describe('a token that was revoked', () => {
  test('is refused at once, and the platform hands out a new one', async () => {
    const emulator = await start()
    emulator.revokeToken('u1', 'salesforce')

    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
    const token = await handedOut(emulator)
    expect(token).not.toBe('xoxb-1')
    expect(await statusOf(emulator, token)).toBe(200)
    expect(await handedOut(emulator)).toBe(token)
    expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
  })

  test('is that of the connection that is named, and no other', async () => {
    const salesforce = { salesforce: { accessToken: 'of-user' }, github: { accessToken: 'of-user' } }
    const emulator = await start({
      users: { one: salesforce },
      groups: { one: { salesforce: { accessToken: 'of-group' } } },
    })
    emulator.revokeToken({ group: 'one' }, 'salesforce')
    expect(await statusOf(emulator, 'of-group')).toBe(401)
    expect(await statusOf(emulator, 'of-user')).toBe(200)
    emulator.revokeToken('one', 'salesforce')
    expect(await statusOf(emulator, 'of-user')).toBe(401)
    expect(await statusOf(emulator, 'of-user', '/github/me')).toBe(200)
  })

  test('gets a full life for its replacement', async () => {
    const now = jest.spyOn(clock, 'now').mockReturnValue(1e12)
    const emulator = await start({ users: { u1: { salesforce: { expiresIn: 60 } } } })
    now.mockReturnValue(1e12 + 50_000)
    emulator.revokeToken('u1', 'salesforce')
    const token = await handedOut(emulator)
    now.mockReturnValue(1e12 + 109_999)
    expect(await statusOf(emulator, token)).toBe(200)
  })

  describe('behind the platform’s back', () => {
    const hidden = { keepHandingOut: true }

    test('is handed out all the same', async () => {
      const emulator = await start()
      emulator.revokeToken('u1', 'salesforce', hidden)
      expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
      expect(await handedOut(emulator)).toBe('xoxb-1')
      expect(await statusOf(emulator, 'xoxb-1')).toBe(401)
    })

    test('is replaced once the platform is told', async () => {
      const emulator = await start()
      emulator.revokeToken('u1', 'salesforce', hidden)
      emulator.revokeToken('u1', 'salesforce')
      expect(await handedOut(emulator)).not.toBe('xoxb-1')
    })

    test.each([
      ['rotateToken', emulator => emulator.rotateToken('u1', 'salesforce')],
      ['setConnection', emulator => emulator.setConnection('u1', 'salesforce')],
    ])('is replaced by %s', async (_how, replace) => {
      const emulator = await start()
      emulator.revokeToken('u1', 'salesforce', hidden)
      replace(emulator)
      const token = await handedOut(emulator)
      expect(token).not.toBe('xoxb-1')
      expect(await statusOf(emulator, token)).toBe(200)
    })

    test('is replaced at the end of its life', async () => {
      const now = jest.spyOn(clock, 'now').mockReturnValue(1e12)
      const emulator = await start({
        users: { u1: { salesforce: { accessToken: 'xoxb-1', expiresIn: 60 } } },
      })
      emulator.revokeToken('u1', 'salesforce', hidden)
      now.mockReturnValue(1e12 + 60_000)
      expect(await statusOf(emulator, await handedOut(emulator))).toBe(200)
    })
  })

  test('must be there', async () => {
    const emulator = await start({ users: { u1: { off: { enabled: false }, broken: { status: 'error' } } } })
    for (const [owner, slug] of [
      ['u2', 'salesforce'],
      ['u1', 'salesforce'],
      ['u1', 'off'],
      ['u1', 'broken'],
    ]) {
      expect(() => emulator.revokeToken(owner, slug)).toThrow(
        expect.objectContaining({
          code: 'ERR_EMULATOR_NO_ACTIVE_TOKEN',
          message: expect.stringMatching(/^revokeToken: .*no active token/),
        }),
      )
    }
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', [undefined, 'salesforce']],
    ['ERR_INVALID_ARG_VALUE', ['u1', '..']],
    ['ERR_INVALID_ARG_TYPE', ['u1', 'salesforce', null]],
    ['ERR_INVALID_ARG_TYPE', ['u1', 'salesforce', { keepHandingOut: 1 }]],
    ['ERR_INVALID_ARG_VALUE', ['u1', 'salesforce', { keep: true }]],
  ])('throws %s for %j', async (code, args) => {
    const emulator = await start()
    expect(() => emulator.revokeToken(...args)).toThrow(expect.objectContaining({ name: 'TypeError', code }))
    expect(await statusOf(emulator, 'xoxb-1')).toBe(200)
  })
})

describe('a webhook that is sent more than once', () => {
  const event = { type: 'connection.enabled', owner: 'u1', slug: 'salesforce' }

  /** Answers with one status after the other, and then with the last; 0 hangs up, 'never' keeps the sender waiting. */
  async function receive(...statuses) {
    const bodies = []
    const arrived = deferred()
    const server = http.createServer(async (request, response) => {
      const status = statuses[Math.min(bodies.length, statuses.length - 1)]
      let body = ''
      for await (const chunk of request) body += chunk
      bodies.push(body)
      arrived.resolve()
      if (status === 0) request.socket.destroy()
      else if (status !== 'never') response.writeHead(status).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanUps.push(() => {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    })
    return { url: `http://127.0.0.1:${server.address().port}/`, bodies, arrived: arrived.promise }
  }

  test.each([
    ['a status that is no 2xx', 503],
    ['a redirect', 302],
    ['a broken connection', 0],
  ])('is repeated after %s, the same each time', async (_what, failure) => {
    const emulator = await start()
    const { url, bodies } = await receive(failure, failure, 202)

    expect(await emulator.sendWebhook(url, event, { attempts: 10 })).toEqual({ status: 202, attempts: 3 })
    expect(bodies).toHaveLength(3)
    expect(new Set(bodies).size).toBe(1)
  })

  test.each([200, 204, 299])('is not repeated after a %d', async status => {
    const emulator = await start()
    const { url, bodies } = await receive(status)

    expect(await emulator.sendWebhook(url, event, { attempts: 10 })).toEqual({ status, attempts: 1 })
    expect(bodies).toHaveLength(1)
  })

  test.each([
    [1, undefined],
    [1, {}],
    [1, { attempts: 1 }],
    [4, { attempts: 4 }],
  ])('is sent %d times at most with %j', async (attempts, options) => {
    const emulator = await start()
    const { url, bodies } = await receive(500)

    expect(await emulator.sendWebhook(url, event, options)).toEqual({ status: 500, attempts })
    expect(bodies).toHaveLength(attempts)
  })

  test('rejects if the last attempt got no answer, whatever was before', async () => {
    const emulator = await start()
    const { url, bodies } = await receive(500, 0)

    await expect(emulator.sendWebhook(url, event, { attempts: 2 })).rejects.toMatchObject({
      code: 'ERR_EMULATOR_WEBHOOK',
    })
    expect(bodies).toHaveLength(2)
  })

  test('waits twice as long each time, half a second at most, and no longer once the emulator is closed', async () => {
    const { url, bodies } = await receive(500)
    const waits = []
    const lastWait = deferred()
    const wait = (ms, callback) => {
      waits.push(ms)
      if (waits.length < 9) return clock.after(1, callback)
      lastWait.resolve()
      return () => {}
    }
    const sender = createWebhookSender({ wait })
    const delivery = sender.deliver(new URL(url), { ...event, owner: { kind: 'user', id: 'u1' } }, 10)
    const rejection = expect(delivery).rejects.toMatchObject({
      code: 'ERR_EMULATOR_WEBHOOK',
      message: expect.stringMatching(/was closed/),
    })
    await lastWait.promise
    sender.close()
    await rejection

    expect(waits).toEqual([20, 40, 80, 160, 320, 500, 500, 500, 500])
    expect(bodies).toHaveLength(9)
  })

  test('is not repeated once the emulator is closed', async () => {
    const emulator = await start()
    const { url, bodies, arrived } = await receive('never')
    const delivery = emulator.sendWebhook(url, event, { attempts: 10 })
    const rejection = expect(delivery).rejects.toMatchObject({
      code: 'ERR_EMULATOR_WEBHOOK',
      message: expect.stringMatching(/was closed/),
    })
    await arrived
    await emulator.close()
    await rejection

    expect(bodies).toHaveLength(1)
  })

  test.each([
    ['ERR_INVALID_ARG_VALUE', { attempts: 0 }],
    ['ERR_INVALID_ARG_VALUE', { attempts: 11 }],
    ['ERR_INVALID_ARG_VALUE', { attempts: 1.5 }],
    ['ERR_INVALID_ARG_TYPE', { attempts: '2' }],
    ['ERR_INVALID_ARG_VALUE', { retries: 2 }],
    ['ERR_INVALID_ARG_TYPE', null],
  ])('rejects with %s for %j', async (code, options) => {
    const emulator = await start()
    const { url, bodies } = await receive(200)

    await expect(emulator.sendWebhook(url, event, options)).rejects.toMatchObject({ name: 'TypeError', code })
    expect(bodies).toHaveLength(0)
  })
})
