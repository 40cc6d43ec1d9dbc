const tls = require('node:tls')
const { inspect } = require('node:util')
const { XkitClient, XkitApiError, XkitNetworkError } = require('..')
const { createAuthority } = require('./support/certificates')
const { answer, mostPerPath, startServer, tokenFor } = require('./support/http-rigs')
const rigs = require('./support/rigs')

const { KEYS, act, activeAnswer, activeBody, closeRigs, closedPort, deferred, eventually } = rigs
const { listen, rejection, settlesWithin, startChild, startForwarder, startRawServer } = rigs

/** How late a settlement may come after its limit. */
const GRACE = 250
/** Timers count whole milliseconds, so a limit may seem to be met a moment early. */
const EARLY = 5

afterEach(closeRigs)

function newClient({ baseUrl }, options) {
  return new XkitClient({ ...KEYS, baseUrl, ...options })
}

/** `count` calls at once, each for a user of its own; how many were not fulfilled. */
async function failuresOf(client, count, prefix = 'user') {
  const calls = Array.from({ length: count }, (_, index) =>
    client.getAccessToken(`${prefix}-${index}`, 'slack'),
  )
  const outcomes = await Promise.allSettled(calls)
  return outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason)
}

const FLOOD = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1000)

describe('a flood of informational answers over TLS', () => {
  async function script({ root, keys, baseUrl, ca, wellUrl, timeoutMs }) {
    const { XkitClient } = require(root)
    const flooded = new XkitClient({ ...keys, baseUrl, ca })
    const well = new XkitClient({ ...keys, baseUrl: wellUrl })
    await well.getAccessToken('warm', 'slack')
    const time = async call => {
      const begin = performance.now()
      const code = await call.then(
        () => 'fulfilled',
        error => error.code,
      )
      return { code, took: performance.now() - begin }
    }
    const calls = [time(flooded.getAccessToken('u1', 'slack', { timeoutMs }))]
    const controller = new AbortController()
    flooded.getAccessToken('u2', 'slack', { signal: controller.signal }).catch(() => {})
    while (well.stats().calls < 20) calls.push(time(well.getAccessToken(`u${calls.length}`, 'slack')))
    console.log(JSON.stringify(await Promise.all(calls)))
    controller.abort()
  }

  test('delays neither a time limit nor a call of another client by more than 250 ms', async () => {
    const timeoutMs = 500
    const authority = createAuthority()
    const identity = authority.issue({ hosts: ['127.0.0.1'] })
    const flood = socket => {
      const more = () => {
        while (!socket.destroyed && socket.write(FLOOD));
      }
      socket.on('drain', more).on('error', () => {})
      more()
    }
    const [server, silent] = await Promise.all(
      [flood, act.hang].map(onRequest =>
        listen(tls.createServer(identity, socket => socket.once('data', () => onRequest(socket)))),
      ),
    )
    const { baseUrl: wellUrl } = await startServer()

    // At the same time, in a process of its own, the same calls without a flood: what the machine needs for them now.
    const [flooded, unharmed] = await Promise.all(
      [server, silent].map(async ({ port }) => {
        const input = { baseUrl: `https://127.0.0.1:${port}`, ca: authority.certificate, wellUrl, timeoutMs }
        const { stdout, stderr } = await startChild(script, input).ended
        expect(stderr).toBe('')
        const [limited, ...others] = JSON.parse(stdout)
        expect(limited.code).toBe('ERR_XKIT_TIMEOUT')
        expect(others.map(({ code }) => code)).toEqual(Array(19).fill('fulfilled'))
        return { limited: limited.took, longest: Math.max(...others.map(({ took }) => took)) }
      }),
    )

    expect(flooded.limited).toBeLessThan(unharmed.limited + GRACE)
    expect(flooded.longest).toBeLessThan(unharmed.longest + GRACE)
  })
})

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
const TOKEN = 'xoxb-whole-token-0123456789'
const BODY = activeBody(TOKEN)
const UP_TO_TOKEN = BODY.slice(0, BODY.indexOf('token-0123') + 8)
const LONG = `${HEAD}Content-Length: ${BODY.length}\r\n\r\n`
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n`
const UNTIL_CLOSE = `${HEAD}Connection: close\r\n\r\n`

describe('a broken connection', () => {
  const BROKEN = [
    ['reset as soon as it is open', { onConnection: act.reset }],
    ['closed as soon as it is open', { onConnection: act.close }],
    ['reset instead of an answer', { onRequest: act.reset }],
    ['closed instead of an answer', { onRequest: act.close }],
    ['reset within the headers', { onRequest: act.sendThen(HEAD, act.reset) }],
    ['closed within the headers', { onRequest: act.sendThen(HEAD, act.close) }],
    ['reset before the body', { onRequest: act.sendThen(LONG, act.reset) }],
    ['closed before the body', { onRequest: act.sendThen(LONG, act.close) }],
    ['reset within the body', { onRequest: act.sendThen(LONG + UP_TO_TOKEN, act.reset) }],
    ['closed within the body', { onRequest: act.sendThen(LONG + UP_TO_TOKEN, act.close) }],
    ['closed within a chunk', { onRequest: act.sendThen(CHUNKED + UP_TO_TOKEN, act.close) }],
    ['closed before the last chunk', { onRequest: act.sendThen(`${CHUNKED}${BODY}\r\n`, act.close) }],
  ]

  test.each(BROKEN)(
    'that is %s is tried again on new ones, then an ERR_XKIT_CONNECT',
    async (_what, script) => {
      const server = await startRawServer(script)

      const error = await rejection(newClient(server).getAccessToken('u1', 'slack'))

      expect(error).toBeInstanceOf(XkitNetworkError)
      expect(error).toMatchObject({ code: 'ERR_XKIT_CONNECT', retryable: true, attempts: 3 })
      expect(inspect(error, { showHidden: true, depth: 10 })).not.toContain('xoxb-')
      expect(server.connections.count).toBe(3)
      expect(server.requests.count).toBeLessThanOrEqual(3)
    },
  )

  test.each(BROKEN)('that is %s fails no call when the next one holds', async (_what, script) => {
    const well = act.send(activeAnswer(TOKEN))
    const { onConnection = act.hang, onRequest = act.hang } = script
    const server = await startRawServer({
      onConnection: (socket, turn) => turn.connection === 0 && onConnection(socket, turn),
      onRequest: (socket, turn) => (turn.connection === 0 ? onRequest(socket, turn) : well(socket)),
    })
    const client = newClient(server)

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(TOKEN)

    expect(server.connections.count).toBe(2)
    expect(client.stats()).toMatchObject({ calls: 1, requests: 2, retries: 1, failures: 0 })
  })

  test('to a port where nobody listens is an ERR_XKIT_CONNECT', async () => {
    const baseUrl = `http://127.0.0.1:${await closedPort()}`

    const error = await rejection(newClient({ baseUrl }).getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_CONNECT', retryable: true })
    expect(error.attempts).toBeLessThanOrEqual(3)
  })

  test('to a host whose name does not resolve is an ERR_XKIT_CONNECT', async () => {
    // A label over 63 characters: the resolver refuses it without asking any server.
    const baseUrl = `https://${'a'.repeat(64)}.localhost`

    const error = await rejection(newClient({ baseUrl }).getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error.code).toBe('ERR_XKIT_CONNECT')
  })

  test('is not tried again with `maxRetries: 0`', async () => {
    const server = await startRawServer({ onRequest: act.reset })

    const error = await rejection(newClient(server, { maxRetries: 0 }).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_CONNECT', attempts: 1 })
    expect(server.connections.count).toBe(1)
  })

  test('never yields part of a token where the answer ends with the connection', async () => {
    const server = await startRawServer({ onRequest: act.sendThen(UNTIL_CLOSE + UP_TO_TOKEN, act.close) })

    const error = await rejection(newClient(server).getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitApiError)
    expect(error.code).toBe('ERR_XKIT_INVALID_RESPONSE')
    expect(inspect(error, { showHidden: true, depth: 10 })).not.toContain('xoxb-')
  })

  test('is not needed where the answer ends with the connection and is whole', async () => {
    const server = await startRawServer({ onRequest: act.sendThen(UNTIL_CLOSE + BODY, act.close) })

    await expect(newClient(server).getAccessToken('u1', 'slack')).resolves.toBe(TOKEN)
  })

  test.each([
    ['noise', '\0\x01\x02\xff garbage-on-the-wire\r\n\r\n'],
    ['another protocol', '220 garbage-on-the-wire ESMTP\r\n'],
    ['a broken status line', 'HTTP/1.1 OK garbage-on-the-wire\r\n\r\n'],
    ['a broken length', `${HEAD}Content-Length: garbage-on-the-wire\r\n\r\n${BODY}`],
    ['two lengths', `${HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${BODY}`],
    ['broken chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\ngarbage-on-the-wire\r\n`],
  ])('that carries %s instead of HTTP fails in at most 3 requests', async (_what, bytes) => {
    const server = await startRawServer({ onRequest: act.sendThen(Buffer.from(bytes, 'latin1'), act.close) })

    const error = await rejection(newClient(server).getAccessToken('u1', 'slack'))

    expect(['ERR_XKIT_CONNECT', 'ERR_XKIT_INVALID_RESPONSE']).toContain(error.code)
    expect(inspect(error, { showHidden: true, depth: 10 })).not.toContain('garbage-on-the-wire')
    expect(server.requests.count).toBeLessThanOrEqual(3)
  })

  test('through a slow network is no fault', async () => {
    const authority = createAuthority()
    const server = await startServer({ identity: authority.issue({ hosts: ['127.0.0.1'] }) })
    const forwarder = await startForwarder(server.port, { delayMs: 50 })
    const baseUrl = `https://127.0.0.1:${forwarder.port}`

    await expect(
      newClient({ baseUrl }, { ca: authority.certificate }).getAccessToken('u1', 'slack'),
    ).resolves.toBe(tokenFor('/connections/u1/slack'))
    expect(forwarder.connections.count).toBe(1)
  })
})

describe('a server that stalls', () => {
  const STALLED = [
    ['in the TLS handshake', {}, 'https'],
    ['before the headers', {}, 'http'],
    ['within the headers', { onRequest: act.send(HEAD) }, 'http'],
    ['before the body', { onRequest: act.send(LONG) }, 'http'],
    ['within the body', { onRequest: act.send(LONG + UP_TO_TOKEN) }, 'http'],
    ['within a chunk', { onRequest: act.send(CHUNKED + UP_TO_TOKEN) }, 'http'],
    ['by sending the headers one byte at a time', { onRequest: act.drip(HEAD + HEAD) }, 'http'],
    ['by sending the body one byte at a time', { onRequest: act.sendThen(LONG, act.drip(BODY)) }, 'http'],
  ]

  async function stalled(script, scheme) {
    const server = await startRawServer(script)
    return { ...server, baseUrl: `${scheme}://127.0.0.1:${server.port}` }
  }

  test.each(STALLED)('%s ends in ERR_XKIT_TIMEOUT at timeoutMs', async (_where, script, scheme) => {
    const server = await stalled(script, scheme)
    const client = newClient(server, { timeoutMs: 400 })

    const { reason, elapsedMs } = await settlesWithin(400 + GRACE, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toBeInstanceOf(XkitNetworkError)
    expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true })
    expect(elapsedMs).toBeGreaterThanOrEqual(400 - EARLY)
    expect(server.connections.count).toBe(1)
  })

  test.each(STALLED)('%s ends in ERR_XKIT_TIMEOUT at attemptTimeoutMs', async (_where, script, scheme) => {
    const server = await stalled(script, scheme)
    const client = newClient(server, { attemptTimeoutMs: 200, maxRetries: 0 })

    const { reason, elapsedMs } = await settlesWithin(200 + GRACE, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TIMEOUT' })
    expect(elapsedMs).toBeGreaterThanOrEqual(200 - EARLY)
    expect(server.connections.count).toBe(1)
  })

  test.each(STALLED.filter(([, , scheme]) => scheme === 'http'))(
    '%s fails no call when the next attempt is answered',
    async (_where, { onRequest = act.hang }) => {
      const well = act.send(activeAnswer(TOKEN))
      const server = await startRawServer({
        onRequest: (socket, turn) => (turn.connection === 0 ? onRequest(socket, turn) : well(socket)),
      })
      const client = newClient(server, { attemptTimeoutMs: 200 })

      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(TOKEN)

      expect(server.requests.count).toBe(2)
    },
  )

  test('in the TLS handshake is left after connectTimeoutMs', async () => {
    const server = await stalled({}, 'https')
    const client = newClient(server, { connectTimeoutMs: 200, maxRetries: 0 })

    const { reason, elapsedMs } = await settlesWithin(200 + GRACE, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TIMEOUT' })
    expect(elapsedMs).toBeGreaterThanOrEqual(200 - EARLY)
  })

  test('for good costs three attempts of attemptTimeoutMs', async () => {
    const server = await startRawServer({})
    const client = newClient(server, { attemptTimeoutMs: 200 })

    // Between the attempts lie two waits, of up to 50 and 100 ms.
    const { reason } = await settlesWithin(3 * 200 + 150 + GRACE, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', attempts: 3 })
    expect(server.requests.count).toBe(3)
  })

  test('for good ends at timeoutMs, in whichever attempt that falls', async () => {
    const server = await startRawServer({})
    const client = newClient(server, { attemptTimeoutMs: 200, timeoutMs: 350, maxRetries: 10 })

    const { reason } = await settlesWithin(350 + GRACE, () => client.getAccessToken('u1', 'slack'))

    expect(reason.code).toBe('ERR_XKIT_TIMEOUT')
    expect(server.requests.count).toBeLessThanOrEqual(2)
  })

  test('ends at the timeoutMs of the call where that is shorter', async () => {
    const server = await startRawServer({})

    const client = newClient(server)
    const call = () => client.getAccessToken('u1', 'slack', { timeoutMs: 300 })
    const { reason, elapsedMs } = await settlesWithin(300 + GRACE, call)

    expect(reason.code).toBe('ERR_XKIT_TIMEOUT')
    expect(elapsedMs).toBeGreaterThanOrEqual(300 - EARLY)
  })

  test('may go on until the timeoutMs of the call where that is longer', async () => {
    const late = act.send(activeAnswer(TOKEN))
    const server = await startRawServer({ onRequest: socket => setTimeout(late, 400, socket) })

    const call = newClient(server, { timeoutMs: 100 }).getAccessToken('u1', 'slack', { timeoutMs: 10_000 })

    await expect(call).resolves.toBe(TOKEN)
  })

  test('one caller out leaves the others alone', async () => {
    const gate = deferred()
    const server = await startServer({ handler: (...args) => gate.promise.then(() => answer(...args)) })
    const client = newClient(server)

    const patient = client.getAccessToken('patient', 'slack')
    const error = await rejection(client.getAccessToken('hasty', 'slack', { timeoutMs: 100 }))
    gate.resolve()

    expect(error.code).toBe('ERR_XKIT_TIMEOUT')
    await expect(patient).resolves.toBe(tokenFor('/connections/patient/slack'))
  })
})

describe('a pooled connection', () => {
  test('serves the calls that follow one another', async () => {
    const server = await startServer()
    const client = newClient(server)

    for (let call = 0; call < 20; call++) await client.getAccessToken(`user-${call}`, 'slack')

    expect(server.connections.count).toBe(1)
  })

  test('that the server closes while idle fails none of 1,000 calls', async () => {
    const CLOSES_AFTER_MS = [0, 0.5, 1, 2, 3]
    const server = await startRawServer({
      onRequest(socket, { connection, requestOfConnection }) {
        socket.write(activeAnswer(TOKEN))
        if (requestOfConnection > 0) return
        setTimeout(() => socket.destroy(), CLOSES_AFTER_MS[connection % CLOSES_AFTER_MS.length])
      },
    })
    const client = newClient(server)
    const failures = []
    const lane = async name => {
      for (let call = 0; call < 100; call++) {
        await client.getAccessToken(`${name}-${call}`, 'slack').catch(error => failures.push(error))
      }
    }

    await Promise.all(Array.from({ length: 10 }, (_, index) => lane(`lane-${index}`)))

    expect(failures).toEqual([])
    expect(server.connections.count).toBeGreaterThan(100)
  }, 30_000)

  test.each([
    ['closes', act.close],
    ['resets', act.reset],
  ])(
    'that the server %s at the sight of its second request fails none of 1,000 calls',
    async (_how, leave) => {
      const well = act.send(activeAnswer(TOKEN))
      const server = await startRawServer({
        onRequest: (socket, { requestOfConnection }) =>
          requestOfConnection === 0 ? well(socket) : leave(socket),
      })
      const client = newClient(server)

      // One after the other: each meets the connection that the one before left in the pool.
      for (let call = 0; call < 1000; call++) {
        await expect(client.getAccessToken(`user-${call}`, 'slack')).resolves.toBe(TOKEN)
      }

      expect(mostPerPath(server.requests)).toBeLessThanOrEqual(2)
    },
    30_000,
  )

  test('that turns out to be dead adds at most one request to the three of a call', async () => {
    const server = await startRawServer({
      onRequest: (socket, { request }) =>
        request === 0 ? socket.write(activeAnswer(TOKEN)) : act.reset(socket),
    })
    const client = newClient(server)
    await client.getAccessToken('u1', 'slack')

    const error = await rejection(client.getAccessToken('u2', 'slack'))

    expect(error.code).toBe('ERR_XKIT_CONNECT')
    expect(error.attempts).toBe(server.requests.count - 1)
    expect(error.attempts).toBeLessThanOrEqual(4)
  })

  /** Opens 50 connections by holding 50 requests until all have arrived, and leaves them idle. */
  async function fillPool(client, server, gate) {
    const calls = failuresOf(client, 50, 'first')
    await server.requests.reaches(50)
    gate.resolve()
    expect(await calls).toEqual([])
    expect(server.connections.count).toBe(50)
  }

  test('fails no call after a restart of the server under 50 of them', async () => {
    const gate = deferred()
    const handler = (...args) => gate.promise.then(() => answer(...args))
    const before = await startServer({ handler })
    const client = newClient(before)
    await fillPool(client, before, gate)

    await before.close()
    const after = await startServer({ port: before.port })

    expect(await failuresOf(client, 50, 'second')).toEqual([])
    expect(after.requests.count).toBe(50)
  })

  test('fails no call when the server drops 50 of them just as they are used again', async () => {
    const gate = deferred()
    const server = await startServer({ handler: (...args) => gate.promise.then(() => answer(...args)) })
    const client = newClient(server)
    await fillPool(client, server, gate)

    server.dropConnections()

    expect(await failuresOf(client, 50, 'second')).toEqual([])
  })

  describe('that turns out to be dead only when it is used', () => {
    /** A client with 50 idle connections, each of which is reset at its next request; new ones serve well. */
    async function poolOfDeadConnections() {
      const gate = deferred()
      const server = await startRawServer({
        onRequest(socket, { requestOfConnection, connection }) {
          if (requestOfConnection > 0 && connection < 50) socket.resetAndDestroy()
          else gate.promise.then(() => socket.write(activeAnswer(TOKEN)))
        },
      })
      const client = newClient(server)
      await fillPool(client, server, gate)
      return { client, server }
    }

    test('fails no call when there are 50 and 50 calls come at once', async () => {
      const { client } = await poolOfDeadConnections()

      expect(await failuresOf(client, 50, 'second')).toEqual([])
    })

    test('fails no call when there are 50 and one call comes after the other', async () => {
      const { client, server } = await poolOfDeadConnections()

      for (let call = 0; call < 50; call++) {
        await expect(client.getAccessToken(`second-${call}`, 'slack')).resolves.toBe(TOKEN)
      }
      expect(mostPerPath(server.requests)).toBeLessThanOrEqual(3)
    })
  })
})

describe('many calls at once', () => {
  test.each([1, 5])('keep to a maxConcurrency of %i, and stats() counts the queue', async maxConcurrency => {
    const gate = deferred()
    const server = await startServer({ handler: (...args) => gate.promise.then(() => answer(...args)) })
    const client = newClient(server, { maxConcurrency })

    const calls = failuresOf(client, 30)
    await server.requests.reaches(maxConcurrency)
    await eventually(() => client.stats().queued === 30 - maxConcurrency)
    expect(client.stats()).toMatchObject({ calls: 30, inFlight: maxConcurrency, queued: 30 - maxConcurrency })
    expect(server.requests.count).toBe(maxConcurrency)
    gate.resolve()

    expect(await calls).toEqual([])
    expect(server.peak()).toBe(maxConcurrency)
    expect(client.stats()).toMatchObject({ requests: 30, inFlight: 0, queued: 0, failures: 0 })
  })

  test('keep to 100 requests by default', async () => {
    const gate = deferred()
    const server = await startServer({ handler: (...args) => gate.promise.then(() => answer(...args)) })
    const client = newClient(server)

    const calls = failuresOf(client, 150)
    await server.requests.reaches(100)
    await eventually(() => client.stats().queued === 50)
    gate.resolve()

    expect(await calls).toEqual([])
    expect(server.peak()).toBe(100)
  })

  test('time out in the queue too, without a request', async () => {
    const server = await startServer({ handler: act.hang })
    const client = newClient(server, { maxConcurrency: 1 })
    const controller = new AbortController()
    const first = rejection(client.getAccessToken('first', 'slack', { signal: controller.signal }))
    await server.requests.reaches(1)

    const queued = () => client.getAccessToken('second', 'slack', { timeoutMs: 200 })
    const { reason, elapsedMs } = await settlesWithin(200 + GRACE, queued)

    expect(reason).toBeInstanceOf(XkitNetworkError)
    expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', attempts: 0 })
    expect(elapsedMs).toBeGreaterThanOrEqual(200 - EARLY)
    expect(server.requests.count).toBe(1)
    expect(client.stats()).toMatchObject({ queued: 0, inFlight: 1 })
    controller.abort()
    await first
  })

  test('get the place of a call that timed out', async () => {
    const server = await startServer({
      handler: (request, response, entry) => entry.path.includes('stuck') || answer(request, response, entry),
    })
    const client = newClient(server, { maxConcurrency: 1 })

    const stuck = rejection(client.getAccessToken('stuck', 'slack', { timeoutMs: 200 }))
    const next = client.getAccessToken('next', 'slack')

    expect((await stuck).code).toBe('ERR_XKIT_TIMEOUT')
    await expect(next).resolves.toBe(tokenFor('/connections/next/slack'))
  })

  test('all succeed, 10,000 of them with 1,024 open files', async () => {
    const server = await startServer()
    async function callAll({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl })
      const calls = Array.from({ length: 10_000 }, (_, index) =>
        client.getAccessToken(`user-${index}`, 'slack'),
      )
      const outcomes = await Promise.allSettled(calls)
      const failures = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code)
      console.log(JSON.stringify(failures))
    }

    const { stdout } = await startChild(callAll, { baseUrl: server.baseUrl }, { openFiles: 1024 }).ended

    expect(stdout).toBe('[]\n')
    expect(server.requests.count).toBe(10_000)
    expect(server.peak()).toBeLessThanOrEqual(100)
  }, 60_000)
})
