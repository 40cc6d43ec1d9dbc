// Numbers that the package promises and that need a rig of their own: limits of time where nothing answers, and of
// requests where everything fails.
'use strict'

const net = require('node:net')
const { once } = require('node:events')
const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { PROXY_REPLY, startFrameServer, startProxy, startServer } = require('./support/http-rigs')
const rigs = require('./support/rigs')

const { KEYS, act, activeAnswer, closeRigs, rejection, settlesWithin, startChild, startRawServer, track } =
  rigs

/** How late a settlement may come after its limit, and how late after an abort. */
const GRACE_MS = 250
const PROMPT_MS = 50
const EARLY_MS = 5

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(closeRigs)

function newClient({ baseUrl }, options) {
  return new XkitClient({ ...KEYS, baseUrl, ca: authority.certificate, ...options })
}

describe('a stream of HTTP/2 that stalls ends in ERR_XKIT_TIMEOUT at its limit,', () => {
  const STALLED = [
    ['before the headers', act.hang],
    ['before the body', reply => reply.headers()],
    [
      'within the body',
      reply => {
        reply.headers()
        reply.data('{"connection":{"enabled":tr')
      },
    ],
  ]

  test.each(STALLED)('timeoutMs: %s', async (_where, onRequest) => {
    const server = await startFrameServer({ identity, onRequest })
    const client = newClient(server, { timeoutMs: 400 })

    const { reason, elapsedMs } = await settlesWithin(400 + GRACE_MS, () =>
      client.getAccessToken('u1', 'slack'),
    )

    expect(reason).toMatchObject({
      name: 'XkitNetworkError',
      code: 'ERR_XKIT_TIMEOUT',
      retryable: true,
      attempts: 1,
    })
    expect(elapsedMs).toBeGreaterThanOrEqual(400 - EARLY_MS)
  })

  test.each(STALLED)('attemptTimeoutMs: %s', async (_where, onRequest) => {
    const server = await startFrameServer({ identity, onRequest })
    const client = newClient(server, { attemptTimeoutMs: 200, maxRetries: 0 })

    const { reason } = await settlesWithin(200 + GRACE_MS, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', attempts: 1 })
    // None where the machine was too busy for a handshake in that time.
    expect(server.requests.count).toBeLessThanOrEqual(1)
  })
})

// A full backlog is how Linux leaves a connection unanswered on the loopback; other systems refuse or accept it.
if (process.platform === 'linux')
  describe('a host that does not answer to a connection', () => {
    /** A port whose backlog is full, and whose owner accepts nothing. */
    async function silentPort() {
      function script() {
        const server = require('node:net').createServer()
        server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
          console.log(server.address().port)
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
        })
      }
      const child = startChild(script)
      await child.printed(1)
      const port = Number(child.output.stdout)
      const sockets = Array.from({ length: 8 }, () => net.connect(port, '127.0.0.1').on('error', () => {}))
      const close = async () => {
        for (const socket of sockets) socket.destroy()
      }
      track({ close })
      await Promise.any(sockets.map(socket => once(socket, 'connect')))
      return port
    }

    test('is left at connectTimeoutMs', async () => {
      const client = newClient(
        { baseUrl: `http://127.0.0.1:${await silentPort()}` },
        { connectTimeoutMs: 300, maxRetries: 0 },
      )

      const { reason, elapsedMs } = await settlesWithin(300 + GRACE_MS, () =>
        client.getAccessToken('u1', 'slack'),
      )

      expect(reason).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TIMEOUT', retryable: true })
      expect(elapsedMs).toBeGreaterThanOrEqual(300 - EARLY_MS)
    })

    test('is left at timeoutMs', async () => {
      const client = newClient({ baseUrl: `http://127.0.0.1:${await silentPort()}` }, { timeoutMs: 300 })

      const { reason } = await settlesWithin(300 + GRACE_MS, () => client.getAccessToken('u1', 'slack'))

      expect(reason).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TIMEOUT' })
    })

    test('is left at once when the call is aborted', async () => {
      const client = newClient({ baseUrl: `http://127.0.0.1:${await silentPort()}` })
      const controller = new AbortController()

      const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
      controller.abort('changed my mind')

      expect((await settlesWithin(PROMPT_MS, call)).reason).toBe('changed my mind')
    })
  })

test('an abort ends a call that waits for a proxy, and the proxy is left', async () => {
  const proxy = await startProxy({ reply: PROXY_REPLY.nothing })
  const client = newClient({ baseUrl: 'https://127.0.0.1:1' }, { proxy: proxy.url() })
  const controller = new AbortController()

  const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
  await proxy.connects.reaches(1)
  const [socket] = proxy.sockets
  const left = once(socket, 'close')
  controller.abort('changed my mind')

  expect((await settlesWithin(PROMPT_MS, call)).reason).toBe('changed my mind')
  await left
  expect(proxy.connects.count).toBe(1)
})

describe('a platform that always fails', () => {
  const CALLS = 10_000

  test.each([
    ['answers 503', (_request, response) => response.writeHead(503).end()],
    ['answers 429', (_request, response) => response.writeHead(429).end()],
    ['resets the connection', request => request.socket.resetAndDestroy()],
  ])('gets 1.01 requests per call at most, over 10,000 calls, when it %s', async (_what, handler) => {
    const server = await startServer({ handler })
    // The server answers from the thread that makes the calls, which a busy machine can hold up for seconds.
    const client = newClient(server, { timeoutMs: 100_000, attemptTimeoutMs: 100_000 })

    const users = Array.from({ length: CALLS }, (_, index) => `user-${index}`)
    await Promise.all(users.map(user => rejection(client.getAccessToken(user, 'slack'))))

    expect(server.requests.count).toBeLessThanOrEqual(CALLS * 1.01)
    expect(client.stats()).toMatchObject({ calls: CALLS, failures: CALLS, requests: server.requests.count })
  })

  test('gets three requests per call at most, the one on a dead pooled connection included', async () => {
    const server = await startRawServer({
      onRequest: (socket, { request }) =>
        request === 0 ? socket.write(activeAnswer('token-of-the-first')) : act.reset(socket),
    })
    const client = newClient(server)
    await client.getAccessToken('first', 'slack')

    const error = await rejection(client.getAccessToken('second', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_CONNECT', attempts: 3 })
    expect(server.requests.count).toBe(1 + 3)
  })
})
