// Owns the proof of waiting for a connection: when the platform is asked, what wakes and ends a wait, and who shares it.
'use strict'

const { Waits, wakeWaits } = require('../lib/wait.js')
const { XkitApiError, XkitNetworkError } = require('..')
const { deferred } = require('./support/rigs')

const OWNER = { kind: 'user', id: 'u1' }
const SLUG = 'slack'
const active = { status: 'active', accessToken: 'xoxb' }
const pending = { status: 'pending' }
const broken = { status: 'needs_reauthorization' }
const outage = new XkitApiError({ message: 'out', code: 'ERR_XKIT_SERVER', status: 503, retryable: true })
const refused = new XkitApiError({ message: 'no', code: 'ERR_XKIT_INVALID_API_KEY', status: 401 })

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
    wait: (options = {}, owner = OWNER, slug = SLUG) => waits.until(owner, slug, options, ask),
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
  expect(await waiting).toEqual({ connection: active })
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
  expect(await waiting).toEqual({ connection: active })
})

describe('at its limit', () => {
  test('gives the last state', async () => {
    const world = startWorld()
    const waiting = world.wait({ timeoutMs: 1200 })
    await world.answer(broken)
    await world.advance(1000)
    await world.answer(pending)
    await world.advance(200)
    expect(await waiting).toEqual({ connection: pending })
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
    expect(over).toHaveBeenCalledWith({ connection: pending })
  })

  test('ends a poll under way, and says so if there never was an answer', async () => {
    const world = startWorld()
    const waiting = world.wait({ timeoutMs: 500 })
    await world.advance(500)
    const { error } = await waiting
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
    expect(await waiting).toEqual({ error: outage })
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
    expect(await waiting).toEqual({ connection: active })
  })

  test('that does not pass ends the wait at once', async () => {
    const world = startWorld()
    const waiting = world.wait()
    await world.answer(pending)
    await world.advance(1000)
    await world.answer(refused)
    expect(await waiting).toEqual({ error: refused })
    expect(world.timers.size).toBe(0)
  })

  const facts = ({ message, code, status, retryable }) => ({ message, code, status, retryable })
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
    expect(await waiting).toEqual({ connection: active })
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
    expect(await first).toEqual({ connection: pending })
    expect(await second).toEqual({ connection: active })
    expect(world.times()).toEqual([0, 0, 1000])
  })

  test('lose nothing by one that is aborted; the last one ends the poll', async () => {
    const world = startWorld()
    const [one, two] = [new AbortController(), new AbortController()]
    const first = world.wait({ signal: one.signal })
    const second = world.wait({ signal: two.signal })
    one.abort('no longer')
    expect(await first).toEqual({ reason: 'no longer' })
    expect(world.polls[0].signal.aborted).toBe(false)
    two.abort('neither')
    expect(await second).toEqual({ reason: 'neither' })
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
    expect(await next).toEqual({ connection: active })
  })
})

test('an aborted signal asks nobody', async () => {
  const world = startWorld()
  expect(await world.wait({ signal: AbortSignal.abort('before') })).toEqual({ reason: 'before' })
  expect(world.polls).toEqual([])
})

test('the end of the client has the platform asked at once, which then says so', async () => {
  const world = startWorld()
  const waiting = world.wait()
  await world.answer(pending)
  world.waits.end()
  expect(world.polls).toHaveLength(2)
  await world.answer(refused)
  expect(await waiting).toEqual({ error: refused })
})
