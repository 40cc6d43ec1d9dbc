// Owns the proof of waitForConnection: when it polls the platform, what wakes and ends a wait, and who shares a poll.
'use strict'

const { XkitApiError, XkitClient, XkitNetworkError } = require('..')
const { startEmulator } = require('../emulator')
const { Waits, wakeWaits } = require('../lib/wait.js')
const { deferred } = require('./support/rigs')

const OWNER = { kind: 'user', id: 'u1' }
const SLUG = 'slack'
const active = { status: 'active', accessToken: 'xoxb' }
const pending = { status: 'pending' }
const broken = { status: 'needs_reauthorization' }
const outage = new XkitApiError({ message: 'out', code: 'ERR_XKIT_SERVER', status: 503, retryable: true })
const refused = new XkitApiError({ message: 'no', code: 'ERR_XKIT_INVALID_API_KEY', status: 401 })

const facts = ({ message, code, status, retryable }) => ({ message, code, status, retryable })

/** Lets everything that is ready run. */
const settle = () => new Promise(resolve => setImmediate(resolve))

/** Time that a test moves, and a platform that it answers for. */
function startWorld() {
  let now = 0
  const timers = new Set()
  const polls = []
  const after = (ms, callback) => {
    const timer = { at: now + ms, callback }
    timers.add(timer)
    return () => timers.delete(timer)
  }
  const waits = new Waits(after)

  function ask(signal) {
    const answer = deferred()
    const poll = {
      at: now,
      signal,
      answer: answer.resolve,
      fail: error => answer.resolve(Promise.reject(error)),
      isOpen: true,
    }
    answer.promise
      .catch(() => {})
      .finally(() => {
        poll.isOpen = false
      })
    signal.addEventListener('abort', () => answer.resolve(Promise.reject(signal.reason)))
    polls.push(poll)
    return answer.promise
  }

  return {
    polls,
    waits,
    timers,
    wait(options = {}, owner = OWNER, slug = SLUG) {
      const waiting = waits.until(owner, slug, options, ask)
      // Each test awaits it later, or never; until then a failure must not end the process.
      waiting.catch(() => {})
      return waiting
    },
    /** Answers the poll under way: with a state, or with an error. */
    async answer(outcome) {
      const poll = polls.at(-1)
      expect(poll.isOpen).toBe(true)
      if (outcome instanceof Error) poll.fail(outcome)
      else poll.answer(outcome)
      await settle()
    },
    async advance(ms) {
      const end = now + ms
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
        if (next === undefined) break
        timers.delete(next)
        now = next.at
        next.callback()
        await settle()
      }
      now = end
    },
    times: () => polls.map(({ at }) => at),
  }
}

test('asks at once, and again after 1, 1.5, 2.25, 3.375 and then 5 s, until the connection is active', async () => {
  const world = startWorld()
  const waiting = world.wait()
  for (let count = 0; count < 6; count += 1) {
    await world.answer(pending)
    const before = world.polls.length
    while (world.polls.length === before) await world.advance(125)
  }
  const times = world.times()
  expect(times.slice(1).map((at, index) => at - times[index])).toEqual([1000, 1500, 2250, 3375, 5000, 5000])
  await world.answer(active)
  expect(await waiting).toBe(active)
  expect(world.timers.size).toBe(0)
})

test('an old error that is seen at the start is no end', async () => {
  const world = startWorld()
  const waiting = world.wait()
  await world.answer(broken)
  await world.advance(1000)
  await world.answer(pending)
  await world.advance(1500)
  await world.answer(active)
  expect(await waiting).toBe(active)
})

describe('at its limit', () => {
  test('gives the last state', async () => {
    const world = startWorld()
    const waiting = world.wait({ timeoutMs: 1200 })
    await world.answer(broken)
    await world.advance(1000)
    await world.answer(pending)
    await world.advance(200)
    expect(await waiting).toBe(pending)
    expect(world.timers.size).toBe(0)
  })

  test('is five minutes by default', async () => {
    const world = startWorld()
    const over = jest.fn()
    world.wait().then(over)
    await world.answer(pending)
    // Each later poll stays unanswered.
    await world.advance(299_999)
    expect(over).not.toHaveBeenCalled()
    await world.advance(1)
    expect(over).toHaveBeenCalledWith(pending)
  })

  test('ends a poll under way, and says so if there never was an answer', async () => {
    const world = startWorld()
    const waiting = world.wait({ timeoutMs: 500 })
    await world.advance(500)
    const error = await waiting.catch(reason => reason)
    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 })
    expect(world.polls[0].signal.aborted).toBe(true)
  })

  test('gives the last failure if there never was a state', async () => {
    const world = startWorld()
    const waiting = world.wait({ timeoutMs: 1500 })
    await world.answer(outage)
    await world.advance(1000)
    await world.answer(outage)
    await world.advance(500)
    await expect(waiting).rejects.toMatchObject(facts(outage))
  })
})

describe('a failure', () => {
  test('that may pass is waited out, for as long as the platform asks', async () => {
    const world = startWorld()
    const waiting = world.wait()
    await world.answer(outage)
    await world.advance(1000)
    await world.answer(
      new XkitApiError({ ...facts(outage), code: 'ERR_XKIT_RATE_LIMITED', retryAfterMs: 30_000 }),
    )
    await world.advance(29_999)
    expect(world.polls).toHaveLength(2)
    await world.advance(1)
    await world.answer(active)
    expect(await waiting).toBe(active)
  })

  test('that does not pass ends the wait at once', async () => {
    const world = startWorld()
    const waiting = world.wait()
    await world.answer(pending)
    await world.advance(1000)
    await world.answer(refused)
    await expect(waiting).rejects.toMatchObject(facts(refused))
    expect(world.timers.size).toBe(0)
  })
})

describe('a webhook', () => {
  test('of the connection has the platform asked at once', async () => {
    const world = startWorld()
    const waiting = world.wait()
    await world.answer(pending)
    await world.advance(10)
    wakeWaits('u1', 'github')
    wakeWaits('u2', SLUG)
    await settle()
    expect(world.polls).toHaveLength(1)
    wakeWaits('u1', SLUG)
    await settle()
    expect(world.times()).toEqual([0, 10])
    await world.answer(active)
    expect(await waiting).toBe(active)
  })

  test('while the platform answers has it asked once more, never twice at once', async () => {
    const world = startWorld()
    world.wait()
    await world.advance(20)
    wakeWaits('u1', SLUG)
    await settle()
    expect(world.polls).toHaveLength(1)
    await world.answer(pending)
    expect(world.times()).toEqual([0, 20])
  })

  test('that comes a thousand times costs two polls a second', async () => {
    const world = startWorld()
    world.wait()
    for (let count = 0; count < 1000; count += 1) {
      if (world.polls.at(-1).isOpen) await world.answer(pending)
      wakeWaits('u1', SLUG)
      await world.advance(10)
    }
    // In ten seconds.
    expect(world.polls.length).toBeGreaterThanOrEqual(10)
    expect(world.polls.length).toBeLessThanOrEqual(22)
  })

  test('reaches the waits of every client, and of every kind of owner', async () => {
    const worlds = [startWorld(), startWorld()]
    for (const world of worlds) {
      world.wait({}, { kind: 'group', id: 'u1' })
      await world.answer(pending)
    }
    wakeWaits('u1', SLUG)
    await settle()
    for (const world of worlds) expect(world.times()).toEqual([0, 0])
  })
})

describe('callers that wait for one connection', () => {
  test('share its polls, and have a limit each', async () => {
    const world = startWorld()
    const first = world.wait({ timeoutMs: 500 })
    const second = world.wait()
    expect(world.polls).toHaveLength(1)
    await world.answer(pending)
    // Asked once more for whoever came while the first answer was under way.
    await world.answer(pending)
    await world.advance(1000)
    await world.answer(active)
    expect(await first).toBe(pending)
    expect(await second).toBe(active)
    expect(world.times()).toEqual([0, 0, 1000])
  })

  test('lose nothing by one that is aborted; the last one ends the poll', async () => {
    const world = startWorld()
    const [one, two] = [new AbortController(), new AbortController()]
    const first = world.wait({ signal: one.signal })
    const second = world.wait({ signal: two.signal })
    one.abort('no longer')
    await expect(first).rejects.toBe('no longer')
    expect(world.polls[0].signal.aborted).toBe(false)
    two.abort('neither')
    await expect(second).rejects.toBe('neither')
    expect(world.polls[0].signal.aborted).toBe(true)
    expect(world.timers.size).toBe(0)
  })

  test('of other owners, kinds or slugs have polls of their own', async () => {
    const world = startWorld()
    world.wait()
    world.wait({}, { kind: 'group', id: 'u1' })
    world.wait({}, { kind: 'user', id: 'u2' })
    world.wait({}, OWNER, 'github')
    expect(world.polls).toHaveLength(4)
  })

  test('may come at the very moment when the last one leaves', async () => {
    const world = startWorld()
    const controller = new AbortController()
    world.wait({ signal: controller.signal })
    await world.answer(pending)
    controller.abort()
    const next = world.wait()
    await settle()
    await world.answer(active)
    expect(await next).toBe(active)
  })
})

test('an aborted signal asks nobody', async () => {
  const world = startWorld()
  await expect(world.wait({ signal: AbortSignal.abort('before') })).rejects.toBe('before')
  expect(world.polls).toEqual([])
})

test('the end of the client has the platform asked at once, which then says so', async () => {
  const world = startWorld()
  const waiting = world.wait()
  await world.answer(pending)
  world.waits.end()
  expect(world.polls).toHaveLength(2)
  await world.answer(refused)
  await expect(waiting).rejects.toMatchObject(facts(refused))
})

describe('of a client', () => {
  let emulator
  let xkit
  const event = (owner = 'u1', slug = SLUG) =>
    JSON.stringify({
      event_type: 'connection.enabled',
      payload: { connector: { slug }, context: { external_id: owner } },
    })

  /** Resolves once the emulator has answered so many requests. */
  async function answered(count) {
    while (emulator.requests.filter(({ status }) => status !== 0).length < count) await settle()
    // The client has its answer too once another one of the same connection came after it.
    await xkit.getConnection('bystander', SLUG)
  }

  beforeEach(async () => {
    emulator = await startEmulator({ users: { u1: {} } })
    const { baseUrl, publishableKey, secretKey } = emulator
    xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true, maxRetries: 0 })
  })
  afterEach(async () => {
    await xkit.close()
    await emulator.close()
  })

  test('resolves at once with a connection that is active, past the cache', async () => {
    emulator.setConnection('u1', SLUG, { accessToken: 'xoxb-1' })
    await xkit.getAccessToken('u1', SLUG)
    emulator.rotateToken('u1', SLUG)
    const connection = await xkit.waitForConnection('u1', SLUG)
    expect(connection.status).toBe('active')
    expect(connection.accessToken).not.toBe('xoxb-1')
    expect(emulator.requests).toHaveLength(2)
  })

  test('asks for each owner and kind of owner by itself', async () => {
    const owners = [{ user: 'one' }, { group: 'one' }, { user: 'other' }]
    const accessTokens = ['xoxb-1', 'xoxb-2', 'xoxb-3']
    for (const [index, owner] of owners.entries()) {
      emulator.setConnection(owner, SLUG, { accessToken: accessTokens[index] })
    }

    const connections = await Promise.all(owners.map(owner => xkit.waitForConnection(owner, SLUG)))

    expect(connections.map(({ accessToken }) => accessToken)).toEqual(accessTokens)
  })

  test.each([
    ['the same client', () => xkit],
    ['another client of the process', () => new XkitClient({ publishableKey: 'pk', secretKey: 'sk' })],
  ])('is woken by a webhook that %s reads', async (_which, receiver) => {
    const waiting = xkit.waitForConnection({ user: 'u1' }, SLUG)
    await answered(1)
    emulator.setConnection('u1', SLUG, { accessToken: 'xoxb-1' })
    receiver().handleWebhook(event('u1', 'github'))
    receiver().handleWebhook(event())
    expect(await waiting).toMatchObject({ status: 'active', slug: SLUG })
    expect(emulator.requests.filter(({ path }) => path.includes('/u1/'))).toHaveLength(2)
  })

  test('resolves with the last state at its limit', async () => {
    const connection = await xkit.waitForConnection('u1', SLUG, { timeoutMs: 300 })
    expect(connection.status).toBe('not_enabled')
  })

  test('rejects with the stack of its caller, for each caller an error of its own', async () => {
    emulator.failNext({ status: 401, times: 2 })
    async function namedCaller() {
      await xkit.waitForConnection('u1', SLUG)
    }
    const errors = await Promise.all([namedCaller(), namedCaller()].map(call => call.catch(error => error)))
    expect(errors[0]).not.toBe(errors[1])
    for (const error of errors) {
      expect(error).toBeInstanceOf(XkitApiError)
      expect(error).toMatchObject({ code: 'ERR_XKIT_INVALID_API_KEY', status: 401, retryable: false })
      expect(error.stack).toContain('namedCaller')
    }
    expect(emulator.requests).toHaveLength(1)
  })

  test('ends at once when the client is closed', async () => {
    const waiting = xkit.waitForConnection('u1', SLUG)
    await answered(1)
    const rejection = expect(waiting).rejects.toMatchObject({ code: 'ERR_XKIT_CLOSED' })
    await xkit.close()
    await rejection
  })

  test('ends with the reason of its signal, and the request with it', async () => {
    emulator.failNext({ fault: 'stall' })
    const controller = new AbortController()
    const waiting = xkit.waitForConnection('u1', SLUG, { signal: controller.signal })
    while (emulator.requests.length === 0) await settle()
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    // The request ends on another thread.
    while (xkit.stats().inFlight > 0) await settle()
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', [undefined, SLUG]],
    ['ERR_INVALID_ARG_TYPE', [{ group: 1 }, SLUG]],
    ['ERR_INVALID_ARG_VALUE', ['..', SLUG]],
    ['ERR_INVALID_ARG_TYPE', ['u1', undefined]],
    ['ERR_INVALID_ARG_TYPE', ['u1', SLUG, null]],
    ['ERR_INVALID_ARG_VALUE', ['u1', SLUG, { timeoutMs: 0 }]],
    ['ERR_INVALID_ARG_VALUE', ['u1', SLUG, { fresh: true }]],
    ['ERR_INVALID_ARG_TYPE', ['u1', SLUG, { signal: 1 }]],
  ])('rejects with %s for %j', async (code, args) => {
    await expect(xkit.waitForConnection(...args)).rejects.toMatchObject({ name: 'TypeError', code })
    expect(emulator.requests).toEqual([])
  })
})
