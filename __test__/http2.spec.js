const tls = require('node:tls')
const { inspect } = require('node:util')
const { XkitClient, XkitNetworkError } = require('..')
const { createAuthority } = require('./support/certificates')
const { answer, mostPerPath, startFrameServer, startServer, tokenFor } = require('./support/http-rigs')
const {
  KEYS,
  Log,
  activeBody,
  closeRigs,
  deferred,
  listen,
  rejection,
  settlesWithin,
  startForwarder,
} = require('./support/rigs')

/** Error codes of HTTP/2. */
const CODE = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  ENHANCE_YOUR_CALM: 11,
  HTTP_1_1_REQUIRED: 13,
}
const TOKEN = 'xoxb-whole-token-0123456789'
const PART_OF_BODY = activeBody(TOKEN).slice(0, activeBody(TOKEN).indexOf('token-0123') + 8)

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(closeRigs)

function newClient({ baseUrl }, options) {
  return new XkitClient({ ...KEYS, baseUrl, ca: authority.certificate, ...options })
}

const tokenOf = user => tokenFor(`/connections/${user}/slack`)

/** `count` calls, at most `atOnce` of them under way, each for a user of its own; why the failed ones failed. */
async function failuresOf(client, count, { atOnce = count, prefix = 'user', expected = tokenOf } = {}) {
  const failures = []
  let next = 0
  const lane = async () => {
    while (next < count) {
      const user = `${prefix}-${next++}`
      const call = client.getAccessToken(user, 'slack')
      const token = await call.catch(error => failures.push(error.code) && undefined)
      if (token !== undefined) expect(token).toBe(expected(user))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return failures
}

describe('one connection', () => {
  test('carries a cold start of 100 calls at once', async () => {
    const gate = deferred()
    const handler = (...args) => gate.promise.then(() => answer(...args))
    const server = await startServer({ identity, handler })
    const client = newClient(server)

    const calls = failuresOf(client, 100)
    await server.requests.reaches(100)
    gate.resolve()

    expect(await calls).toEqual([])
    expect(server.peak()).toBe(100)
    expect(server.handshakes.entries).toEqual(['h2'])
  })

  test('carries 1,000 calls', async () => {
    const server = await startServer({ identity })

    expect(await failuresOf(newClient(server), 1000)).toEqual([])

    expect(server.requests.count).toBe(1000)
    expect(server.connections.count).toBe(1)
  })

  test('takes no more streams than the server allows', async () => {
    const server = await startServer({ identity, settings: { maxConcurrentStreams: 2 } })

    expect(await failuresOf(newClient(server), 60)).toEqual([])

    expect(server.requests.count).toBe(60)
    // Before the server's settings have arrived, a client may open more: nobody counts those few.
    expect(server.connections.count).toBeLessThanOrEqual(2)
  })
})

describe('a connection that the server ends in mid-run fails no call', () => {
  test('by a GOAWAY that lets the open streams finish', async () => {
    // Frame by frame, since node:http2 corrupts its own heap when streams keep coming in after `session.close()`.
    const STREAMS_PER_CONNECTION = 50
    const server = await startFrameServer({
      identity,
      onRequest(reply, { requestOfConnection }) {
        if (requestOfConnection >= STREAMS_PER_CONNECTION) return
        if (requestOfConnection === STREAMS_PER_CONNECTION - 1) reply.goAway(CODE.NO_ERROR)
        reply.answer(TOKEN)
      },
    })

    expect(await failuresOf(newClient(server), 600, { atOnce: 20, expected: () => TOKEN })).toEqual([])

    // 12 times a connection ends under 20 lanes: at worst each lane loses a request and opens a connection of its own.
    expect(server.connections.count).toBeGreaterThanOrEqual(600 / STREAMS_PER_CONNECTION)
    expect(server.connections.count).toBeLessThan(12 * 20)
    expect(server.requests.count).toBeLessThanOrEqual(600 + 12 * 20)
  })

  test('by a GOAWAY for all 100 streams under way, none of them handled', async () => {
    const server = await startFrameServer({
      identity,
      onRequest(reply, { connection, requestOfConnection }) {
        if (connection > 0) return reply.answer(TOKEN)
        if (requestOfConnection === 99) reply.goAway(CODE.NO_ERROR, { lastStream: 0 })
      },
    })
    const client = newClient(server)
    const calls = Array.from({ length: 100 }, (_, index) => client.getAccessToken(`user-${index}`, 'slack'))

    await expect(Promise.all(calls)).resolves.toEqual(Array(100).fill(TOKEN))

    expect(server.requests.count).toBe(200)
    // Each that was not handled goes out on a connection of its own, since the next one may end likewise.
    expect(server.connections.count).toBe(1 + 100)
  })

  test('by closing it between two calls', async () => {
    const server = await startServer({ identity })
    const client = newClient(server)

    for (let round = 0; round < 50; round++) {
      expect(await failuresOf(client, 2, { prefix: `round-${round}` })).toEqual([])
      server.dropConnections()
    }
    expect(mostPerPath(server.requests)).toBeLessThanOrEqual(3)
  })
})

const TOO_LARGE = { code: 'ERR_XKIT_RESPONSE_TOO_LARGE', attempts: 1 }

describe.each(['h2', 'http/1.1'])('over %s, the headers of an answer', protocol => {
  test.each([
    [99, 1, undefined],
    [120, 1, TOO_LARGE],
    [13, 1500, undefined],
    [13, 1700, TOO_LARGE],
  ])('may be 100 and 16 KiB: %i with values of %i bytes', async (count, bytes, failure) => {
    const handler = (request, response, entry) => {
      response.sendDate = false
      // The answer adds one header, and Node over HTTP/1.1 two.
      for (let i = 0; i < count - 3; i++) response.setHeader(`x-${i}`, 'x'.repeat(bytes))
      answer(request, response, entry)
    }
    const server = await startServer({ identity, protocols: [protocol], handler })

    const [{ value, reason }] = await Promise.allSettled([newClient(server).getAccessToken('u1', 'slack')])

    if (failure) expect(reason).toMatchObject(failure)
    else expect(value).toBe(tokenOf('u1'))
    expect(server.handshakes.entries).toEqual([protocol])
  })
})

describe('a stream', () => {
  const resetWith = code => reply => reply.reset(code)
  const GONE_WRONG = [
    ['refused', resetWith(CODE.REFUSED_STREAM)],
    ['reset with NO_ERROR', resetWith(CODE.NO_ERROR)],
    ['reset with PROTOCOL_ERROR', resetWith(CODE.PROTOCOL_ERROR)],
    ['reset with INTERNAL_ERROR', resetWith(CODE.INTERNAL_ERROR)],
    ['reset with CANCEL', resetWith(CODE.CANCEL)],
    ['reset with ENHANCE_YOUR_CALM', resetWith(CODE.ENHANCE_YOUR_CALM)],
    ['reset with a code that nobody knows', resetWith(0xbeef)],
    ['reset after the headers', inTurn(headers, resetWith(CODE.INTERNAL_ERROR))],
    ['reset within the body', inTurn(headers, partOfBody, resetWith(CODE.CANCEL))],
    ['left unhandled by a GOAWAY', reply => reply.goAway(CODE.NO_ERROR, { lastStream: 0 })],
    [
      'left unhandled by a GOAWAY to calm down',
      reply => reply.goAway(CODE.ENHANCE_YOUR_CALM, { lastStream: 0 }),
    ],
    ['lost with a GOAWAY and its connection', inTurn(reply => reply.goAway(CODE.INTERNAL_ERROR), lose)],
    ['lost with its connection', lose],
    ['lost within the body with its connection', inTurn(headers, partOfBody, lose)],
    ['lost in garbage', reply => reply.socket.end('garbage-on-the-wire\r\n'.repeat(10))],
  ]

  function inTurn(...acts) {
    return reply => {
      for (const act of acts) act(reply)
    }
  }
  function headers(reply) {
    reply.headers()
  }
  function partOfBody(reply) {
    reply.data(PART_OF_BODY)
  }
  function lose(reply) {
    reply.socket.destroySoon()
  }

  test.each(GONE_WRONG)(
    'that is %s again and again ends in ERR_XKIT_CONNECT after a few requests',
    async (what, fault) => {
      const server = await startFrameServer({ identity, onRequest: fault })
      const client = newClient(server)

      const error = await rejection(client.getAccessToken('u1', 'slack'))

      expect(error).toBeInstanceOf(XkitNetworkError)
      // Three more than usual where the server says that it did not look at them.
      const attempts = /^(refused|left unhandled)/.test(what) ? 3 + 3 : 3
      expect(error).toMatchObject({ code: 'ERR_XKIT_CONNECT', retryable: true, attempts })
      expect(inspect(error, { showHidden: true, depth: 10 })).not.toMatch(/xoxb-|garbage-on/)
      expect(server.requests.count).toBe(attempts)
    },
  )

  test.each(GONE_WRONG)('that is %s once costs a second request, and no call', async (_what, fault) => {
    const server = await startFrameServer({
      identity,
      onRequest: (reply, { request }) => (request === 0 ? fault(reply) : reply.answer(TOKEN)),
    })

    await expect(newClient(server).getAccessToken('u1', 'slack')).resolves.toBe(TOKEN)

    expect(server.requests.count).toBe(2)
  })

  test('that is refused on a pooled connection costs no further request either', async () => {
    const server = await startFrameServer({
      identity,
      onRequest: (reply, { request }) =>
        request === 0 ? reply.answer(TOKEN) : reply.reset(CODE.REFUSED_STREAM),
    })
    const client = newClient(server)
    await client.getAccessToken('u1', 'slack')

    const error = await rejection(client.getAccessToken('u2', 'slack'))

    expect(error.code).toBe('ERR_XKIT_CONNECT')
    expect(server.requests.count).toBe(1 + 6)
  })

  test('that is refused is tried again with a wait, not in a tight loop', async () => {
    const times = []
    const server = await startFrameServer({
      identity,
      onRequest(reply) {
        times.push(performance.now())
        reply.reset(CODE.REFUSED_STREAM)
      },
    })

    // The first is at once, the other waits are drawn at random from 0 up to 50, 150, 50 and 100 ms: the mean over many calls is what can be asserted.
    for (let call = 0; call < 10; call++) await rejection(newClient(server).getAccessToken('u1', 'slack'))

    expect(times).toHaveLength(60)
    expect(times.at(-1) - times[0]).toBeGreaterThan(200)
  })

  test('that is refused whoever asks is not sent without end: 200 for free, and then as any that fails', async () => {
    const server = await startFrameServer({ identity, onRequest: reply => reply.reset(CODE.REFUSED_STREAM) })
    const client = newClient(server)

    const failures = await failuresOf(client, 300, { atOnce: 20 })

    expect(failures).toEqual(Array(300).fill('ERR_XKIT_CONNECT'))
    // The first request of each call, the free ones, and what the quota of retries allows: 500 at 14 each.
    expect(server.requests.count).toBe(300 + 200 + 35)
  })

  test('that breaks leaves the others on its connection alone', async () => {
    const replies = []
    const server = await startFrameServer({
      identity,
      onRequest(reply, { request }) {
        if (request < 2) replies.push(reply)
        else reply.answer(TOKEN)
      },
    })
    const client = newClient(server)

    const calls = ['u1', 'u2'].map(user => client.getAccessToken(user, 'slack'))
    await server.requests.reaches(2)
    replies[0].reset(CODE.INTERNAL_ERROR)
    await server.requests.reaches(3)
    replies[1].answer(TOKEN)

    await expect(Promise.all(calls)).resolves.toEqual([TOKEN, TOKEN])
    expect(server.requests.count).toBe(3)
    expect(server.connections.count).toBe(1)
  })
})

describe('HTTP/1.1', () => {
  const http1 = { httpVersion: '1.1' }

  test.each([
    ['on a stream', reply => reply.reset(CODE.HTTP_1_1_REQUIRED)],
    ['by a GOAWAY', reply => reply.goAway(CODE.HTTP_1_1_REQUIRED, { lastStream: 0 })],
  ])('that the server demands %s is used from then on', async (_where, demand) => {
    const server = await startFrameServer({ identity, onRequest: demand, http1: answer })
    const client = newClient(server, { maxRetries: 0 })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenOf('u1'))
    await expect(client.getAccessToken('u2', 'slack')).resolves.toBe(tokenOf('u2'))

    expect(server.requests.count).toBe(1)
    expect(server.http1Requests.entries.map(({ path }) => path)).toEqual(
      ['u1', 'u2'].map(user => `/connections/${user}/slack`),
    )
    expect(server.connections.count).toBe(2)
  })

  test('alone is offered with http2: false', async () => {
    const server = await startServer({ identity })

    await newClient(server, { http2: false }).getAccessToken('u1', 'slack')

    expect(server.requests.entries).toMatchObject([http1])
  })

  test('alone is not enough for a server that speaks HTTP/2 alone, and the failure says so', async () => {
    const server = await startFrameServer({ identity, onRequest: reply => reply.answer(TOKEN) })

    const error = await rejection(newClient(server, { http2: false }).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false, attempts: 1 })
    expect(error.message).toContain('http2: false')
    expect(server.requests.count).toBe(0)
  })

  test.each([
    ['0', '1.1'],
    ['1', '2.0'],
    ['', '2.0'],
  ])('is chosen by XKIT_HTTP2: %p gives %s', async (value, httpVersion) => {
    const server = await startServer({ identity })
    process.env.XKIT_HTTP2 = value
    const client = newClient(server)
    const other = newClient(server, { http2: httpVersion === '1.1' })
    delete process.env.XKIT_HTTP2

    await client.getAccessToken('u1', 'slack')
    await other.getAccessToken('u2', 'slack')

    // The option comes before the variable.
    expect(server.requests.entries.map(request => request.httpVersion)).toEqual([
      httpVersion,
      httpVersion === '1.1' ? '2.0' : '1.1',
    ])
  })

  test('is chosen by nothing else', () => {
    process.env.XKIT_HTTP2 = 'off'
    try {
      expect(() => newClient({})).toThrow(/XKIT_HTTP2 must be 0 or 1/)
    } finally {
      delete process.env.XKIT_HTTP2
    }
    expect(() => newClient({}, { http2: 0 })).toThrow(/options\.http2/)
  })

  test.each([
    ['hangs', () => {}],
    ['hangs up', socket => socket.destroy()],
    ['answers in HTTP/1.1', socket => socket.write('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')],
  ])('is recommended where HTTP/2 was agreed upon, and what answers %s', async (_what, onData) => {
    const server = tls.createServer({ ...identity, ALPNProtocols: ['h2'] }, socket => {
      socket.on('error', () => {}).once('data', () => onData(socket))
    })
    const { port } = await listen(server)
    const options = { attemptTimeoutMs: 300, maxRetries: 0 }

    const error = await rejection(
      newClient({ baseUrl: `https://127.0.0.1:${port}` }, options).getAccessToken('u1', 'slack'),
    )

    expect(error.message).toContain('set http2: false (XKIT_HTTP2=0)')
  })

  test('is recommended by the cause where the limit of the call ends the last attempt', async () => {
    const server = tls.createServer({ ...identity, ALPNProtocols: ['h2'] }, socket =>
      socket.on('error', () => {}),
    )
    const { port } = await listen(server)
    const client = newClient(
      { baseUrl: `https://127.0.0.1:${port}` },
      { attemptTimeoutMs: 300, timeoutMs: 500 },
    )

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error.code).toBe('ERR_XKIT_TIMEOUT')
    expect(error.cause.message).toContain('set http2: false (XKIT_HTTP2=0)')
  })

  test('is not recommended once an answer came by HTTP/2, or where it is spoken already', async () => {
    const hangs = (request, response, entry) => {
      if (entry.path.includes('/u1/')) answer(request, response, entry)
    }
    const options = { attemptTimeoutMs: 300, maxRetries: 0 }
    for (const protocol of ['h2', 'http/1.1']) {
      const server = await startServer({ identity, protocols: [protocol], handler: hangs })
      const client = newClient(server, options)
      if (protocol === 'h2') await client.getAccessToken('u1', 'slack')

      const { code, message } = await rejection(client.getAccessToken('u2', 'slack'))

      expect(code).toBe('ERR_XKIT_TIMEOUT')
      expect(message).not.toContain('http2')
    }
  })
})

test('pings go out while a request waits: two at most until the attempt ends, as strict servers allow, and none when idle', async () => {
  const IDLE = 0
  const WAITING = 1
  const onRequest = (reply, { connection }) => connection === IDLE && reply.answer(TOKEN)
  const server = await startFrameServer({ identity, onRequest })
  await newClient(server).getAccessToken('idle', 'slack')

  const { code } = await rejection(newClient(server, { maxRetries: 0 }).getAccessToken('waiting', 'slack'))

  expect(code).toBe('ERR_XKIT_TIMEOUT')
  const pinged = server.pings.entries.map(({ connection }) => connection)
  expect([[WAITING], [WAITING, WAITING]]).toContainEqual(pinged)
})

describe('a frozen connection', () => {
  /** A client with a warm connection to a server, through a forwarder that can freeze it. */
  async function warm(options) {
    const server = await startServer({ identity })
    const forwarder = await startForwarder(server.port)
    const client = newClient({ baseUrl: `https://127.0.0.1:${forwarder.port}` }, options)
    await client.getAccessToken('warm', 'slack')
    expect(forwarder.connections.count).toBe(1)
    return { client, forwarder, server }
  }

  test.each([1, 100])('is left within 7 s and fails none of %i calls', async count => {
    const { client, forwarder, server } = await warm()

    forwarder.freeze()
    const left = settlesWithin(7000, () => forwarder.connections.reaches(2))

    expect(await failuresOf(client, count)).toEqual([])
    expect((await left).status).toBe('fulfilled')
    expect(server.requests.count).toBe(1 + count)
    expect(forwarder.connections.count).toBe(2)
  })

  test('under requests that were already sent fails none of them', async () => {
    const gate = deferred()
    const seen = new Log()
    const server = await startServer({
      identity,
      handler(...args) {
        seen.add(args)
        gate.promise.then(() => answer(...args))
      },
    })
    const forwarder = await startForwarder(server.port)
    const client = newClient({ baseUrl: `https://127.0.0.1:${forwarder.port}` })

    const calls = failuresOf(client, 30)
    await seen.reaches(30)
    forwarder.freeze()
    gate.resolve()

    expect(await calls).toEqual([])
    expect(mostPerPath(server.requests)).toBe(2)
  })

  test('that is reset after all fails no call either', async () => {
    const { client, forwarder } = await warm()

    forwarder.freeze()
    const calls = failuresOf(client, 20)
    forwarder.reset()

    expect(await calls).toEqual([])
  })
})
