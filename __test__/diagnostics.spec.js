// Owns the proof of what others may see of a call: the events of the tracing channel and the lines of NODE_DEBUG=xkit.
'use strict'

const { AsyncLocalStorage } = require('node:async_hooks')
const { createHmac } = require('node:crypto')
const { channel, tracingChannel } = require('node:diagnostics_channel')
const net = require('node:net')
const { startEmulator } = require('../emulator')
const {
  ACCESS_TOKEN,
  PUBLISHABLE_KEY,
  SECRET_KEY,
  failureOf,
  flat,
  gate,
  html,
} = require('./support/platform')
const { json, startPlatform } = require('./support/platform')
const { closeRigs, closedPort, listen, startChild } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')

const NAME = 'xkit-node:call'
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error']
const calls = tracingChannel(NAME)
const active = json(200, flat())

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

const undo = []
afterEach(async () => {
  for (const step of undo.splice(0)) step()
  await closeRigs()
})

/** Subscribes to some of the events, or to all of them, for as long as the test lasts. */
function subscribe(handlers) {
  calls.subscribe(handlers)
  const end = () => calls.unsubscribe(handlers)
  undo.push(end)
  return end
}

/** What is published: the name of each event, the trace itself, and its fields at that time. */
function record(...events) {
  const entries = []
  const add = event => trace => entries.push({ event, trace, fields: { ...trace } })
  const followed = events.length > 0 ? events : EVENTS
  const end = subscribe(Object.fromEntries(followed.map(event => [event, add(event)])))
  return { entries, end, names: () => entries.map(({ event }) => event) }
}

/** The fields with which each call ended, without its duration. */
function recordEnds() {
  const ends = []
  subscribe({
    asyncEnd: ({ durationMs, ...fields }) => {
      expect(durationMs).toBeGreaterThanOrEqual(0)
      ends.push(fields)
    },
  })
  return ends
}

const TOLD = {
  operation: 'getAccessToken',
  ownerKind: 'user',
  slug: 'slack',
  outcome: 'active',
  attempts: 1,
  cached: false,
  coalesced: false,
}

describe('the events of a call', () => {
  test('come in the order of tracePromise, with one object, which names the call and then its end', async () => {
    platform.replyWith(active)
    const client = platform.client()
    const seen = record()
    const subject = { operation: 'getAccessToken', ownerKind: 'user', slug: 'slack' }

    const call = client.getAccessToken('u1', 'slack')
    expect(seen.entries.map(({ event, fields }) => [event, fields])).toEqual([
      ['start', subject],
      ['end', subject],
    ])
    await expect(call).resolves.toBe(ACCESS_TOKEN)

    expect(seen.names()).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
    expect(new Set(seen.entries.map(({ trace }) => trace)).size).toBe(1)
    for (const { fields } of seen.entries.slice(2))
      expect(fields).toEqual({ ...TOLD, durationMs: expect.any(Number) })
  })

  test('of a failure hold its error, between the end of the synchronous part and that of the call', async () => {
    platform.replyWith(json(403, {}))
    const seen = record()

    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

    expect(seen.names()).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
    for (const { fields } of seen.entries.slice(2)) {
      expect(fields).toEqual({
        ...TOLD,
        outcome: 'ERR_XKIT_FORBIDDEN',
        error: expect.any(Error),
        durationMs: expect.any(Number),
      })
      expect(fields.error).toBe(error)
    }
  })

  test('come before the caller goes on', async () => {
    platform.replyWith(active)
    const seen = record('asyncEnd')

    await platform.client().getConnection('u1', 'slack')

    expect(seen.entries).toHaveLength(1)
  })

  test.each(EVENTS)('are published to whoever subscribed to %s alone', async event => {
    platform.replyWith(json(403, {}))
    const seen = record(event)

    await failureOf(platform.client().getAccessToken('u1', 'slack'))

    expect(seen.names()).toEqual([event])
  })

  test('have the documented names', async () => {
    platform.replyWith(active)
    const names = []
    for (const event of EVENTS) {
      const listener = (_trace, name) => names.push(name)
      channel(`tracing:${NAME}:${event}`).subscribe(listener)
      undo.push(() => channel(`tracing:${NAME}:${event}`).unsubscribe(listener))
    }

    await platform.client().getAccessToken('u1', 'slack')

    expect(names).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'].map(event => `tracing:${NAME}:${event}`))
  })

  test('tell how long the call took', async () => {
    const { open, step } = gate(active)
    platform.replyWith(step)
    const seen = record('asyncEnd')
    const arrived = platform.nextRequest()
    const began = performance.now()
    const call = platform.client().getAccessToken('u1', 'slack')
    await arrived
    const waited = performance.now()
    while (performance.now() - waited < 20);
    open()
    await call

    expect(seen.entries[0].fields.durationMs).toBeGreaterThan(20)
    expect(seen.entries[0].fields.durationMs).toBeLessThan(performance.now() - began)
  })
})

describe('a call is told', () => {
  const owners = [
    ['a user', 'getAccessToken', 'u1', 'user'],
    ['a user as an object', 'getAccessToken', { user: 'u1' }, 'user'],
    ['a group', 'getAccessToken', { group: 'u1' }, 'group'],
    ['a context', 'getAccessToken', { context: 'u1' }, 'context'],
    ['a group by its own method', 'getGroupAccessToken', 'u1', 'group'],
    ['a whole connection', 'getConnection', { group: 'u1' }, 'group'],
  ]
  test.each(owners)(
    'with its operation and kind of owner: %s',
    async (_what, operation, owner, ownerKind) => {
      platform.replyWith(active)
      const ends = recordEnds()

      await platform.client()[operation](owner, 'slack', { timeoutMs: 10_000 })

      expect(ends).toEqual([{ ...TOLD, operation, ownerKind }])
    },
  )

  test('with the requests that it took, when it was tried again', async () => {
    platform.replyWith(json(503, {}), html(502), active)
    const ends = recordEnds()

    await platform.client().getAccessToken('u1', 'slack')

    expect(ends).toEqual([{ ...TOLD, attempts: 3 }])
    expect(platform.requests).toHaveLength(3)
  })

  const unavailable = [
    ['not_provisioned', json(404, { error: 'unknown' })],
    ['not_enabled', json(200, flat({ connection: { enabled: false }, authorization: null }))],
    ['pending', json(200, flat({ authorization: { status: 'awaiting_callback', access_token: '' } }))],
    ['needs_reauthorization', json(200, flat({ authorization: { status: 'error', access_token: '' } }))],
  ]
  test.each(unavailable)('with the state %s, which is an answer and no error', async (outcome, answer) => {
    platform.replyWith(answer)
    const client = platform.client()
    const ends = recordEnds()
    const errors = record('error')

    await client.getConnection('u1', 'slack')
    const error = await failureOf(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'ConnectionUnavailableError', attempts: 1 })
    expect(ends).toEqual([
      { ...TOLD, operation: 'getConnection', outcome },
      { ...TOLD, outcome },
    ])
    expect(errors.entries).toEqual([])
  })

  const failures = [
    ['ERR_XKIT_INVALID_API_KEY', 1, json(401, {})],
    ['ERR_XKIT_RATE_LIMITED', 1, json(429, {}, { 'retry-after': '3600' })],
    ['ERR_XKIT_SERVER', 3, json(503, {})],
    ['ERR_XKIT_REDIRECT', 1, { status: 302, headers: { location: '/' } }],
    ['ERR_XKIT_INVALID_RESPONSE', 1, html(200)],
    ['ERR_XKIT_TIMEOUT', 1, () => undefined],
    ['ERR_XKIT_CONNECT', 3, (_request, response) => void response.destroy()],
  ]
  test.each(failures)('with the code of its failure: %s', async (outcome, attempts, answer) => {
    platform.replyWith(answer)
    const ends = recordEnds()

    const error = await failureOf(platform.client({ timeoutMs: 1500 }).getAccessToken('u1', 'slack'))

    expect(ends).toEqual([{ ...TOLD, outcome, attempts, error }])
    expect(platform.requests).toHaveLength(attempts)
  })

  test('with no request at all, when there was none', async () => {
    const client = platform.client({ baseUrl: `http://127.0.0.1:${await closedPort()}`, maxRetries: 0 })
    const ends = recordEnds()

    const refused = await failureOf(client.getAccessToken('u1', 'slack'))
    await client.close()
    const closed = await failureOf(client.getAccessToken('u1', 'slack'))

    expect(ends).toEqual([
      { ...TOLD, outcome: 'ERR_XKIT_CONNECT', attempts: 1, error: refused },
      { ...TOLD, outcome: 'ERR_XKIT_CLOSED', attempts: 0, error: closed },
    ])
  })

  const wrong = [
    ['an owner of another type', [7, 'slack'], { outcome: 'ERR_INVALID_ARG_TYPE' }],
    ['two owners', [{ user: 'u1', group: 'g1' }, 'slack'], {}],
    ['an id that cannot be one', ['..', 'slack'], { ownerKind: 'user', slug: 'slack' }],
    ['a slug that cannot be one', ['u1', 'owner-id-in-a-slug\n'], { ownerKind: 'user' }],
    ['no slug', ['u1'], { ownerKind: 'user', outcome: 'ERR_INVALID_ARG_TYPE' }],
    ['an unknown option', ['u1', 'slack', { retries: 1 }], { ownerKind: 'user', slug: 'slack' }],
  ]
  test.each(wrong)('without the argument that is wrong: %s', async (_what, args, fields) => {
    platform.replyWith(active)
    const client = platform.client()
    const ends = recordEnds()

    const error = await failureOf(client.getAccessToken(...args))

    const { operation, attempts, cached, coalesced } = { ...TOLD, attempts: 0 }
    const told = {
      operation,
      attempts,
      cached,
      coalesced,
      outcome: 'ERR_INVALID_ARG_VALUE',
      ...fields,
      error,
    }
    expect(ends).toEqual([told])
    expect(error).toMatchObject({ code: told.outcome })
    expect(platform.requests).toEqual([])
  })

  test('as its untraced twin fails, for a group id of another type', async () => {
    const client = platform.client()
    const untraced = await failureOf(client.getGroupAccessToken(undefined, 'slack'))
    const ends = recordEnds()
    const traced = await failureOf(client.getGroupAccessToken(undefined, 'slack'))

    expect(traced).toEqual(untraced)
    expect(traced.message).toBe(untraced.message)
    expect(ends).toMatchObject([{ operation: 'getGroupAccessToken', outcome: 'ERR_INVALID_ARG_TYPE' }])
  })

  const aborted = {
    operation: 'getAccessToken',
    ownerKind: 'user',
    slug: 'slack',
    outcome: 'aborted',
    cached: false,
  }
  test("as aborted, without the reason, which is the caller's own", async () => {
    platform.replyWith(() => undefined)
    const client = platform.client()
    const ends = recordEnds()
    const errors = record('error')
    const controller = new AbortController()
    const arrived = platform.nextRequest()
    const call = failureOf(client.getAccessToken('u1', 'slack', { signal: controller.signal }))
    await arrived
    controller.abort(new Error('u1 left'))

    expect(await call).toBe(controller.signal.reason)
    const { signal } = controller
    expect(await failureOf(client.getAccessToken('u1', 'slack', { signal, fresh: true }))).toBe(signal.reason)
    expect(ends).toEqual([aborted, aborted])
    expect(errors.entries).toEqual([])
  })

  test('as coalesced, when it shared the request of another', async () => {
    const { open, step } = gate(active)
    platform.replyWith(step)
    const client = platform.client()
    const ends = recordEnds()

    const shared = Array.from({ length: 3 }, () => client.getAccessToken('u1', 'slack'))
    const fresh = client.getConnection('u1', 'slack', { fresh: true })
    open()
    await Promise.all([...shared, fresh])

    expect(ends.filter(({ coalesced }) => coalesced)).toEqual(Array(2).fill({ ...TOLD, coalesced: true }))
    expect(ends.filter(({ coalesced }) => !coalesced)).toHaveLength(2)
    expect(platform.requests).toHaveLength(2)
    expect(client.stats().coalesced).toBe(2)
  })

  test('as coalesced too, when what it shared failed', async () => {
    const { open, step } = gate(json(403, {}))
    platform.replyWith(step)
    const client = platform.client()
    const ends = recordEnds()

    const shared = [1, 2].map(() => failureOf(client.getAccessToken('u1', 'slack')))
    open()
    await Promise.all(shared)

    expect(ends.map(({ coalesced }) => coalesced).sort()).toEqual([false, true])
    expect(new Set(ends.map(({ error }) => error)).size).toBe(2)
  })

  test('as cached, when nobody was asked', async () => {
    platform.replyWith(active)
    const client = platform.client({ cache: true })
    const ends = recordEnds()
    const hit = { ...TOLD, attempts: 0, cached: true }

    await client.getAccessToken('u1', 'slack')
    await client.getAccessToken('u1', 'slack')
    await client.getAccessToken({ user: 'u1' }, 'slack', { timeoutMs: 100 })
    await client.getConnection('u1', 'slack')
    await client.getAccessToken('u1', 'slack', { fresh: true })

    expect(ends).toEqual([TOLD, hit, hit, { ...hit, operation: 'getConnection' }, TOLD])
    expect(client.stats()).toMatchObject({ calls: 5, requests: 2, cacheHits: 3 })
  })

  test('within withAccessToken and fetch, once for each token that was asked for', async () => {
    const emulator = await startEmulator({ users: { u1: { github: {} } } })
    const { baseUrl, publishableKey, secretKey } = emulator
    const client = platform.client({ baseUrl, publishableKey, secretKey, cache: true })
    await client.getAccessToken('u1', 'github')
    emulator.revokeToken('u1', 'github')
    const ends = recordEnds()

    const answer = await client.fetch('u1', 'github', `${emulator.serviceUrl}/github/user`)
    await client.withAccessToken('u1', 'github', () => 'used')
    await emulator.close()

    expect(answer.status).toBe(200)
    const told = { ...TOLD, slug: 'github' }
    const hit = { ...told, attempts: 0, cached: true }
    const fingerprint = expect.stringMatching(/^[0-9a-f]{12}$/)
    expect(ends).toEqual([
      hit,
      { ...told, rejectedFingerprint: fingerprint, tokenFingerprint: fingerprint },
      hit,
    ])
  })

  test('after a rejection, with fingerprints of the rejected token and of the new one, keyed by the secret key', async () => {
    const answers = ['first-token-5b21', 'second-token-90c4'].map(token =>
      json(200, flat({ authorization: { access_token: token } })),
    )
    platform.replyWith(...answers)
    const client = platform.client({ maxRetries: 0 })
    const ends = recordEnds()
    const isRejected = answer => answer === 401
    const use = token => (token === 'second-token-90c4' ? 200 : 401)

    await client.withAccessToken('u1', 'slack', use, { isRejected })
    platform.replyWith(answers[0], json(503, {}))
    await failureOf(client.withAccessToken('u2', 'slack', use, { isRejected }))

    const of = token => createHmac('sha256', SECRET_KEY).update(token).digest('hex').slice(0, 12)
    const rejectedFingerprint = of('first-token-5b21')
    const fingerprints = ends.map(({ rejectedFingerprint, tokenFingerprint }) => ({
      rejectedFingerprint,
      tokenFingerprint,
    }))
    expect(fingerprints).toEqual([
      {},
      { rejectedFingerprint, tokenFingerprint: of('second-token-90c4') },
      {},
      { rejectedFingerprint },
    ])
  })

  test('by both copies, when the package is loaded twice in one process', async () => {
    platform.replyWith(active)
    let second
    jest.isolateModules(() => {
      second = require('..')
    })
    const ends = recordEnds()
    const options = { publishableKey: PUBLISHABLE_KEY, secretKey: SECRET_KEY, baseUrl: platform.baseUrl }

    await platform.client().getAccessToken('u1', 'slack')
    await new second.XkitClient(options).getAccessToken('u1', 'slack')

    expect(ends).toEqual([TOLD, TOLD])
  })
})

test('no event holds an id, a key, a token or what the platform tells of the connection', async () => {
  const owner = 'owner-id-5f0c2b'
  const details = {
    connection: { id: 'connection-id-81d4' },
    authorization: { id: 'authorization-id-3e', display_label: 'label-of-the-account' },
  }
  const broken = { status: 'error', access_token: '', error_message: 'words-of-the-platform' }
  platform.replyWith(
    json(200, flat(details)),
    json(200, flat({ ...details, authorization: { ...details.authorization, ...broken } })),
    json(200, flat({ ...details, connection: { ...details.connection, enabled: false } })),
    json(403, { error: owner }),
    html(200),
    json(503, { error: ACCESS_TOKEN }),
  )
  const client = platform.client({ cache: true, maxRetries: 0, catalogUrl: 'https://acme.xkit.co' })
  const seen = record()

  await client.getAccessToken(owner, 'slack')
  await client.getAccessToken(owner, 'slack')
  await client.getConnection(owner, 'slack')
  for (const named of [{ group: owner }, { context: owner }, owner, owner, owner]) {
    await failureOf(client.getAccessToken(named, 'slack', { fresh: true }))
  }
  await failureOf(client.getAccessToken(`${owner}\n`, 'slack'))
  await failureOf(client.getAccessToken({ user: owner, group: owner }, 'slack'))
  await failureOf(client.getAccessToken(owner, 'slack', { signal: AbortSignal.abort(owner), fresh: true }))

  expect(seen.entries.filter(({ event }) => event === 'asyncEnd')).toHaveLength(11)
  const ids = ['connection-id-81d4', 'authorization-id-3e', 'label-of-the-account', 'words-of-the-platform']
  for (const { trace } of seen.entries)
    expectNoSecrets(trace, [owner, ACCESS_TOKEN, SECRET_KEY, PUBLISHABLE_KEY, ...ids])
})

describe('asynchronous context', () => {
  const request = new AsyncLocalStorage()

  test('of the caller is there when the call starts, and again when it has ended', async () => {
    platform.replyWith(active)
    const client = platform.client({ cache: true })
    const seen = []
    const note = ({ slug }) => seen.push(`${slug} in ${request.getStore()}`)
    subscribe({ start: note, end: note, asyncStart: note, asyncEnd: note })

    const slugs = ['slack', 'github', 'slack', 'zoom']
    await Promise.all(
      slugs.map((slug, index) =>
        request.run(`request ${index}`, async () => {
          await client.getAccessToken('u1', slug)
          expect(request.getStore()).toBe(`request ${index}`)
        }),
      ),
    )

    const expected = slugs.flatMap((slug, index) => Array(4).fill(`${slug} in request ${index}`))
    expect(seen.sort()).toEqual(expected.sort())
  })

  test.each([
    ['that asks', { cache: false }, 'active'],
    ['that is cached', { cache: true }, 'active'],
    ['that fails', { maxRetries: 0 }, 'ERR_XKIT_SERVER'],
  ])(
    'that is bound to the start holds for all events of a call %s, and for nothing else',
    async (_what, options, outcome) => {
      platform.replyWith(outcome === 'active' ? active : json(503, {}))
      const client = platform.client(options)
      if (options.cache) await client.getAccessToken('u1', 'slack')
      const span = new AsyncLocalStorage()
      calls.start.bindStore(span, trace => ({ of: trace, parent: span.getStore() }))
      undo.push(() => calls.start.unbindStore(span))
      const seen = []
      const note = trace => seen.push({ trace, store: span.getStore() })
      subscribe({ start: note, end: note, asyncStart: note, asyncEnd: note, error: note })

      await span.run('the request', async () => {
        const call = client.getAccessToken('u1', 'slack').catch(() => {})
        expect(span.getStore()).toBe('the request')
        await call
        expect(span.getStore()).toBe('the request')
      })

      expect(seen).toHaveLength(outcome === 'active' ? 4 : 5)
      expect(seen.at(-1).trace.outcome).toBe(outcome)
      for (const { trace, store } of seen) expect(store).toEqual({ of: trace, parent: 'the request' })
    },
  )

  test('that is bound to the start is enough for a call to be followed', async () => {
    platform.replyWith(active)
    const span = new AsyncLocalStorage()
    const traces = []
    calls.start.bindStore(span, trace => traces.push(trace))
    undo.push(() => calls.start.unbindStore(span))

    await platform.client().getAccessToken('u1', 'slack')

    expect(traces).toMatchObject([TOLD])
  })
})

describe('listeners', () => {
  test('that are none cost nothing: a cached token is the promise that exists already', async () => {
    platform.replyWith(active)
    const client = platform.client({ cache: true })
    const ask = () => client.getAccessToken('u1', 'slack')
    await ask()
    await ask()
    const isSame = () => Object.is(ask(), ask())

    expect(isSame()).toBe(true)
    const seen = record()
    expect(isSame()).toBe(false)
    seen.end()
    expect(isSame()).toBe(true)
    await ask()
    expect(seen.names()).toEqual(['start', 'end', 'start', 'end'])
  })

  test('that come in the middle of a call hear of the next one', async () => {
    const { open, step } = gate(active)
    platform.replyWith(step)
    const client = platform.client()
    const call = client.getAccessToken('u1', 'slack')
    const seen = record()
    open()
    await call
    expect(seen.entries).toEqual([])

    await client.getAccessToken('u1', 'slack')
    expect(seen.entries).toHaveLength(4)
  })

  test('that leave in the middle of a call hear no more, and change nothing for the call and for others', async () => {
    const { open, step } = gate(active)
    platform.replyWith(step)
    const [leaving, staying] = [record(), record()]
    const call = platform.client().getAccessToken('u1', 'slack')
    leaving.end()
    open()

    await expect(call).resolves.toBe(ACCESS_TOKEN)
    expect(leaving.names()).toEqual(['start', 'end'])
    expect(staying.names()).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  })

  test('that throw break no call: Node reports it as an uncaught exception', async () => {
    platform.replyWith(active, json(403, {}))
    async function script({ root, keys, baseUrl }) {
      const { tracingChannel } = require('node:diagnostics_channel')
      const { AsyncLocalStorage } = require('node:async_hooks')
      const thrown = []
      process.on('uncaughtException', error => thrown.push(error.message))
      const fail = name => () => {
        throw new Error(name)
      }
      const names = ['start', 'end', 'asyncStart', 'asyncEnd', 'error']
      const calls = tracingChannel('xkit-node:call')
      calls.subscribe(Object.fromEntries(names.map(name => [name, fail(name)])))
      calls.start.bindStore(new AsyncLocalStorage(), fail('store'))
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl })
      const length = (await client.getAccessToken('u1', 'slack')).length
      const code = await client.getAccessToken('u1', 'slack').catch(error => error.code)
      setImmediate(() => console.log(JSON.stringify({ length, code, thrown })))
    }

    const { stdout, stderr, code } = await startChild(script, { baseUrl: platform.baseUrl }).ended

    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    const result = JSON.parse(stdout)
    expect(result).toMatchObject({ length: ACCESS_TOKEN.length, code: 'ERR_XKIT_FORBIDDEN' })
    expect(result.thrown.sort()).toEqual(
      ['asyncEnd', 'asyncStart', 'end', 'start', 'store']
        .flatMap(name => [name, name])
        .concat('error')
        .sort(),
    )
  })
})

describe.each([
  ['while somebody looks', true],
  ['while nobody does', false],
])('a method that was taken off its client, %s,', (_when, isFollowed) => {
  test.each([
    ['getAccessToken', 'u1', 'slack'],
    ['getGroupAccessToken', 'acme', 'slack'],
    ['getConnection', 'u1', 'slack'],
    ['withAccessToken', 'u1', 'slack', () => {}],
    ['fetch', 'u1', 'slack', 'https://service.test'],
    ['close'],
  ])('gives a rejection: %s', async (name, ...args) => {
    if (isFollowed) record()
    const { [name]: method } = platform.client()

    const promise = method(...args)

    expect(await failureOf(promise)).toBeInstanceOf(TypeError)
  })
})

/** The port of what answers everything with `reply`, as a Redis would. */
async function startReplies(reply) {
  const server = await listen(net.createServer(socket => socket.on('data', () => socket.write(reply))))
  return server.port
}

describe('NODE_DEBUG', () => {
  /** What a process that makes a few calls writes to stderr. */
  async function linesOf(NODE_DEBUG) {
    platform.replyWith(json(503, {}), active, json(403, {}), json(404, { error: 'unknown' }))
    async function script({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl, cache: true })
      const ignore = () => {}
      await client.getAccessToken('owner-id-77d1', 'slack')
      await client.getAccessToken('owner-id-77d1', 'slack')
      await client.getGroupAccessToken('owner-id-77d1', 'git hub\u202e').catch(ignore)
      await client.getConnection({ context: 'owner-id-77d1' }, 'zoom')
      await client.getAccessToken('owner-id-77d1', 'zoom', { signal: AbortSignal.abort() }).catch(ignore)
      await client.getAccessToken('owner-id-77d1', 'owner-id-77d1\n').catch(ignore)
    }
    const env = NODE_DEBUG === undefined ? {} : { NODE_DEBUG }
    const child = startChild(script, { baseUrl: platform.baseUrl }, { env })
    const { stdout, stderr, code } = await child.ended
    expect({ stdout, code }).toEqual({ stdout: '', code: 0 })
    return stderr
  }

  test('with xkit gives one line per call, which tells no id', async () => {
    const written = await linesOf('xkit')

    const lines = written.replace(/(?<=^XKIT )\d+/gm, 'pid').replace(/(?<=durationMs=)\d+\.\d\b/g, 'ms')
    expect(lines.split('\n')).toEqual([
      'XKIT pid: operation=getAccessToken ownerKind=user slug=slack outcome=active attempts=2 durationMs=ms cached=false coalesced=false',
      'XKIT pid: operation=getAccessToken ownerKind=user slug=slack outcome=active attempts=0 durationMs=ms cached=true coalesced=false',
      'XKIT pid: operation=getGroupAccessToken ownerKind=group slug=git%20hub%E2%80%AE outcome=ERR_XKIT_FORBIDDEN attempts=1 durationMs=ms cached=false coalesced=false',
      'XKIT pid: operation=getConnection ownerKind=context slug=zoom outcome=not_provisioned attempts=1 durationMs=ms cached=false coalesced=false',
      'XKIT pid: operation=getAccessToken ownerKind=user slug=zoom outcome=aborted durationMs=ms cached=false',
      'XKIT pid: operation=getAccessToken ownerKind=user outcome=ERR_INVALID_ARG_VALUE attempts=0 durationMs=ms cached=false coalesced=false',
      '',
    ])
  })

  test.each([['fs,XKit'], ['*']])('may be written as %p, as for Node itself', async value => {
    const written = await linesOf(value)

    expect(written.match(/^XKIT \d+: operation=/gm)).toHaveLength(6)
    expect(written).not.toContain('owner-id-77d1')
  })

  test.each([[undefined], ['xkit-emulator'], ['']])('of %p writes nothing', async value => {
    expect(await linesOf(value)).toBe('')
  })

  test.each([
    ['that is not there', async () => closedPort(), /^Connection refused \(os error \d+\)$/],
    [
      'that knows another password',
      () => startReplies('-WRONGPASS invalid username-password pair\r\n'),
      /^WRONGPASS$/,
    ],
  ])('tells why a Redis %s is of no use, and nothing secret', async (_what, start, reason) => {
    platform.replyWith(active)
    async function script({ root, keys, baseUrl, port }) {
      const { XkitClient } = require(root)
      const redis = { url: `redis://user:swordfish-5e1a@127.0.0.1:${port}`, commandTimeoutMs: 10_000 }
      const client = new XkitClient({ ...keys, baseUrl, cache: { redis } })
      await client.getAccessToken('u1', 'slack')
      process.exit()
    }
    const input = { baseUrl: platform.baseUrl, port: await start() }
    const { stderr } = await startChild(script, input, { env: { NODE_DEBUG: 'xkit' } }).ended

    const [, error] = /^XKIT \d+: .* isFleetBypassed=true fleetError=("[^"]+")\n$/.exec(stderr)
    expect(JSON.parse(error)).toMatch(reason)
    expect(stderr).not.toMatch(/swordfish|127\.0\.0\.1/)
  })

  test('holds in a worker too', async () => {
    platform.replyWith(active)
    async function script({ root, keys, baseUrl }) {
      const { once } = require('node:events')
      const { Worker } = require('node:worker_threads')
      const options = JSON.stringify({ ...keys, baseUrl })
      const source = `new (require(${JSON.stringify(root)}).XkitClient)(${options}).getAccessToken('u1', 'slack')`
      await once(new Worker(source, { eval: true }), 'exit')
    }
    const child = startChild(script, { baseUrl: platform.baseUrl }, { env: { NODE_DEBUG: 'xkit' } })

    expect((await child.ended).stderr).toMatch(/^XKIT \d+: operation=getAccessToken .* outcome=active .*\n$/)
  })
})
