const { EventEmitter, getEventListeners } = require('node:events')
const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { answer, startServer, tokenFor } = require('./support/http-rigs')
const { KEYS, act, activeBody, closeRigs, eventually } = require('./support/rigs')
const { rejection, settlesWithin, startChild, startRawServer } = require('./support/rigs')

/** How long a call may go on after its signal. */
const PROMPT_MS = 50

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(closeRigs)

function newClient({ baseUrl }, options) {
  return new XkitClient({ ...KEYS, baseUrl, ca: authority.certificate, ...options })
}

function listenersOn(signal) {
  return getEventListeners(signal, 'abort').length
}

/** Aborts, and expects the call to be rejected with the reason itself, at once, and nothing left on the signal. */
async function expectAbort(controller, call, reason = new Error('changed my mind')) {
  controller.abort(reason)
  const outcome = await settlesWithin(PROMPT_MS, call)
  expect(outcome).toMatchObject({ status: 'rejected' })
  expect(outcome.reason).toBe(controller.signal.reason)
  expect(listenersOn(controller.signal)).toBe(0)
}

const REASONS = [
  ['no reason', undefined],
  ['an error', new Error('changed my mind')],
  ['a string', 'changed my mind'],
  ['an empty string', ''],
  ['zero', 0],
  ['false', false],
  ['null', null],
  ['a symbol', Symbol('changed my mind')],
  ['an object without a prototype', Object.create(null)],
  ['a frozen object', Object.freeze({})],
]

describe('a signal aborted before the call', () => {
  test.each(REASONS)('for %s rejects with its reason and sends nothing', async (_what, reason) => {
    const server = await startServer()
    const signal = AbortSignal.abort(reason)

    const outcome = await settlesWithin(
      PROMPT_MS,
      newClient(server).getAccessToken('u1', 'slack', { signal }),
    )

    expect(outcome.status).toBe('rejected')
    expect(outcome.reason).toBe(signal.reason)
    expect(server.connections.count).toBe(0)
    expect(listenersOn(signal)).toBe(0)
  })

  test.each([
    ['getAccessToken', 'u1'],
    ['getGroupAccessToken', 'g1'],
    ['getConnection', { context: 'c1' }],
  ])('holds for %s', async (method, owner) => {
    const server = await startServer()
    const signal = AbortSignal.abort('changed my mind')

    const reason = await rejection(newClient(server)[method](owner, 'slack', { signal }))

    expect(reason).toBe('changed my mind')
    expect(server.connections.count).toBe(0)
  })
})

describe('a signal aborted while the call is under way', () => {
  test.each(REASONS)('for %s rejects with its reason', async (_what, reason) => {
    const server = await startServer({ handler: act.hang })
    const controller = new AbortController()

    const call = newClient(server).getAccessToken('u1', 'slack', { signal: controller.signal })
    await server.requests.reaches(1)
    controller.abort(reason)
    const outcome = await settlesWithin(PROMPT_MS, call)

    expect(outcome.status).toBe('rejected')
    expect(outcome.reason).toBe(controller.signal.reason)
    expect(listenersOn(controller.signal)).toBe(0)
  })

  test('in the same tick as the call rejects', async () => {
    const server = await startServer()
    const controller = new AbortController()
    const client = newClient(server)

    const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })

    await expectAbort(controller, call)
    await client.close()
    expect(server.requests.count).toBeLessThanOrEqual(1)
  })

  test('during the connect hangs up', async () => {
    const server = await startRawServer({})
    const baseUrl = `https://127.0.0.1:${server.port}`
    const controller = new AbortController()

    const call = newClient({ baseUrl }).getAccessToken('u1', 'slack', { signal: controller.signal })
    await server.connections.reaches(1)

    await expectAbort(controller, call)
    await eventually(() => server.sockets.size === 0)
    expect(server.connections.count).toBe(1)
  })

  const protocols = [
    ['HTTP/1.1', 'http/1.1', 0],
    // The connection is every call's: only the stream may end.
    ['HTTP/2', 'h2', 1],
  ]
  const headersOnly = (_request, response) => {
    response.setHeader('content-length', activeBody('').length + 100)
    response.flushHeaders()
  }
  const halfOfBody = (_request, response) => response.write(activeBody('').slice(0, 20))
  const places = [
    ['before the headers', act.hang],
    ['before the body', headersOnly],
    ['within the body', halfOfBody],
  ]
  const rows = protocols.flatMap(([name, ...its]) => places.map(([where, act]) => [where, name, act, ...its]))

  test.each(rows)(
    '%s cancels the request at the server (over %s)',
    async (_where, _name, handler, protocol, left) => {
      const server = await startServer({ identity, protocols: [protocol], handler })
      const controller = new AbortController()
      const client = newClient(server)

      const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
      await server.requests.reaches(1)

      await expectAbort(controller, call)
      await server.cancelled.reaches(1)
      await eventually(() => server.sockets.size === left)
      await client.close()
      expect(server.requests.count).toBe(1)
    },
  )

  test('is over for whoever asks in the same turn: that call joins no request that is being cancelled', async () => {
    const users = Array.from({ length: 200 }, (_, each) => `u${each}`)
    const hung = new Set()
    const server = await startServer({
      handler(request, response, entry) {
        if (hung.has(entry.path)) answer(request, response, entry)
        hung.add(entry.path)
      },
    })
    const client = newClient(server, { maxConcurrency: 1_000 })
    const controllers = users.map(() => new AbortController())

    const aborted = Promise.allSettled(
      users.map((user, each) => client.getAccessToken(user, 'slack', { signal: controllers[each].signal })),
    )
    await server.requests.reaches(200)
    const next = users.map((user, each) => {
      controllers[each].abort()
      return client.getAccessToken(user, 'slack')
    })

    expect(await Promise.all(next)).toEqual(users.map(user => tokenFor(`/connections/${user}/slack`)))
    for (const { reason } of await aborted) expect(reason).toMatchObject({ name: 'AbortError' })
    await server.cancelled.reaches(200)
    expect(client.stats()).toMatchObject({ requests: 400, coalesced: 0 })
  })

  test('in a wait between two attempts sends no further request', async () => {
    const server = await startServer({
      handler(_request, response) {
        response.writeHead(503, { 'retry-after': '5' }).end()
      },
    })
    const controller = new AbortController()
    const client = newClient(server)

    const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
    await server.requests.reaches(1)
    await eventually(() => client.stats().inFlight === 0)

    await expectAbort(controller, call)
    await client.close()
    expect(client.stats()).toMatchObject({ requests: 1, retries: 0, queued: 0 })
  })

  test('in the queue sends no request and frees its place', async () => {
    const server = await startServer({
      handler: (request, response, entry) => entry.path.includes('stuck') || answer(request, response, entry),
    })
    const client = newClient(server, { maxConcurrency: 1 })
    const stuck = new AbortController()
    const queued = new AbortController()

    const first = client.getAccessToken('stuck', 'slack', { signal: stuck.signal })
    await server.requests.reaches(1)
    const second = client.getAccessToken('queued', 'slack', { signal: queued.signal })
    const third = client.getAccessToken('third', 'slack')
    await eventually(() => client.stats().queued === 2)

    await expectAbort(queued, second)
    await eventually(() => client.stats().queued === 1)
    expect(client.stats().inFlight).toBe(1)
    await expectAbort(stuck, first)
    await expect(third).resolves.toBe(tokenFor('/connections/third/slack'))
    expect(server.requests.entries.map(({ path }) => path)).toEqual([
      '/connections/stuck/slack',
      '/connections/third/slack',
    ])
  })

  test.each(protocols)('touches no other call (%s)', async (_name, protocol) => {
    const held = []
    const server = await startServer({
      identity,
      protocols: [protocol],
      handler: (...args) => held.push(args),
    })
    const client = newClient(server)
    const controller = new AbortController()

    const others = ['u2', 'u3'].map(user => client.getAccessToken(user, 'slack'))
    const aborted = client.getAccessToken('u1', 'slack', { signal: controller.signal })
    await server.requests.reaches(3)
    await expectAbort(controller, aborted)
    await server.cancelled.reaches(1)
    for (const args of held) answer(...args)

    await expect(Promise.all(others)).resolves.toEqual([
      tokenFor('/connections/u2/slack'),
      tokenFor('/connections/u3/slack'),
    ])
    expect(server.cancelled.entries[0].path).toBe('/connections/u1/slack')
  })

  test('gives its place at once to the next in the queue, a hundred times over', async () => {
    const server = await startServer({ handler: act.hang })
    const client = newClient(server, { maxConcurrency: 10 })

    for (let round = 0; round < 10; round++) {
      const controller = new AbortController()
      const calls = Array.from({ length: 10 }, (_, index) =>
        rejection(client.getAccessToken(`round-${round}-${index}`, 'slack', { signal: controller.signal })),
      )
      await server.requests.reaches((round + 1) * 10)
      controller.abort('changed my mind')
      expect(await Promise.all(calls)).toEqual(Array(10).fill('changed my mind'))
    }

    await eventually(() => server.sockets.size === 0 && client.stats().inFlight === 0)
    expect(client.stats()).toMatchObject({ calls: 100, requests: 100, failures: 0, queued: 0 })
  })

  test('ends all of the 100 calls that share it, and leaves no listener', async () => {
    const server = await startServer({ handler: act.hang })
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const client = newClient(server)

    const calls = Array.from({ length: 100 }, (_, index) =>
      client.getAccessToken(`user-${index}`, 'slack', { signal: controller.signal }),
    )
    await server.requests.reaches(100)
    controller.abort(reason)
    const { value } = await settlesWithin(4 * PROMPT_MS, Promise.allSettled(calls))

    expect(value.every(outcome => outcome.reason === reason)).toBe(true)
    expect(listenersOn(controller.signal)).toBe(0)
    await server.cancelled.reaches(100)
  })
})

describe('a signal of the platform', () => {
  test('AbortSignal.timeout rejects with its TimeoutError', async () => {
    const server = await startServer({ handler: act.hang })
    const signal = AbortSignal.timeout(100)

    const { reason } = await settlesWithin(
      100 + PROMPT_MS,
      newClient(server).getAccessToken('u1', 'slack', { signal }),
    )

    expect(reason).toBe(signal.reason)
    expect(reason.name).toBe('TimeoutError')
    expect(listenersOn(signal)).toBe(0)
  })

  test('AbortSignal.any rejects with the reason of the one that was aborted', async () => {
    const server = await startServer({ handler: act.hang })
    const controller = new AbortController()
    const signal = AbortSignal.any([AbortSignal.timeout(60_000), controller.signal])

    const call = newClient(server).getAccessToken('u1', 'slack', { signal })
    await server.requests.reaches(1)
    controller.abort('changed my mind')

    expect((await settlesWithin(PROMPT_MS, call)).reason).toBe('changed my mind')
    expect(listenersOn(signal)).toBe(0)
  })
})

describe('a signal that is not aborted in time', () => {
  test('keeps no listener after a success, and aborting it then changes nothing', async () => {
    const server = await startServer()
    const controller = new AbortController()
    const client = newClient(server)

    const call = client.getAccessToken('u1', 'slack', { signal: controller.signal })
    await expect(call).resolves.toBe(tokenFor('/connections/u1/slack'))
    expect(listenersOn(controller.signal)).toBe(0)
    controller.abort(new Error('too late'))

    await expect(call).resolves.toBe(tokenFor('/connections/u1/slack'))
    await expect(client.getAccessToken('u2', 'slack')).resolves.toBe(tokenFor('/connections/u2/slack'))
    expect(server.cancelled.count).toBe(0)
  })

  test.each([
    ['an error of the platform', (_request, response) => response.writeHead(401).end(), {}],
    ['a timeout', act.hang, { timeoutMs: 100 }],
    ['a broken connection', request => request.socket.resetAndDestroy(), {}],
  ])('keeps no listener after %s', async (_what, handler, options) => {
    const server = await startServer({ handler })
    const controller = new AbortController()

    await rejection(
      newClient(server).getAccessToken('u1', 'slack', { ...options, signal: controller.signal }),
    )

    expect(listenersOn(controller.signal)).toBe(0)
  })

  test('keeps no listener after wrong arguments', async () => {
    const controller = new AbortController()
    const client = newClient({ baseUrl: 'http://127.0.0.1:1' })

    const error = await rejection(client.getAccessToken('..', 'slack', { signal: controller.signal }))

    expect(error.code).toBe('ERR_INVALID_ARG_VALUE')
    expect(listenersOn(controller.signal)).toBe(0)
  })

  test('serves 1,000 calls one after the other without a listener piling up', async () => {
    const server = await startServer()
    const controller = new AbortController()
    const client = newClient(server)

    for (let call = 0; call < 1000; call++) {
      await client.getAccessToken(`user-${call}`, 'slack', { signal: controller.signal })
      expect(listenersOn(controller.signal)).toBe(0)
    }
  })
})

describe('a polyfilled signal', () => {
  /** What npm has as AbortSignal for old runtimes: listeners are called without `this`, and there may be no reason. */
  class Signal extends EventEmitter {
    aborted = false
    addEventListener = (type, listener) => this.on(type, event => listener(event))
    removeEventListener = () => {}
    abort() {
      this.aborted = true
      this.emit('abort', { type: 'abort' })
    }
  }

  test.each([
    ['that aborts during the call', signal => setImmediate(() => signal.abort())],
    ['that has aborted', signal => signal.abort()],
  ])('%s rejects with an AbortError where it has no reason', async (_what, act) => {
    const server = await startServer({ handler: () => {} })
    const signal = new Signal()
    act(signal)

    const error = await rejection(newClient(server).getAccessToken('u1', 'slack', { signal }))

    expect(error).toMatchObject({ name: 'AbortError', message: expect.stringContaining('aborted') })
  })

  test('rejects with its reason where it has one', async () => {
    const server = await startServer({ handler: () => {} })
    const signal = Object.assign(new Signal(), { reason: new Error('changed my mind') })
    setImmediate(() => signal.abort())

    expect(await rejection(newClient(server).getAccessToken('u1', 'slack', { signal }))).toBe(signal.reason)
  })
})

test('the latest of calls that replace each other wins, and the event loop never waits', async () => {
  // As a search box does it: the call before is aborted, and the same one is made again at once.
  async function script({ root, keys, baseUrl, restarts }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl })
    let controller
    let last
    for (let restart = 0; restart < restarts; restart++) {
      controller?.abort()
      controller = new AbortController()
      last = client.getAccessToken('u1', 'slack', { signal: controller.signal })
      last.catch(() => {})
      if (restart % 10 === 0) await new Promise(resolve => setTimeout(resolve, 1))
    }
    console.log(await last)
  }
  const server = await startServer()

  const child = startChild(script, { baseUrl: server.baseUrl, restarts: 20_000 })

  const { code, stdout, stderr } = await child.ended
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: `${tokenFor('/connections/u1/slack')}\n`,
    stderr: '',
  })
})
