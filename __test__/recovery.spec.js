// Owns the proof of the second try: a rejected token costs one re-fetch for all, and no outcome is ever lost.
'use strict'

const { getEventListeners } = require('node:events')
const { Readable } = require('node:stream')
const { format, inspect } = require('node:util')
const { ConnectionUnavailableError, XkitApiError, XkitClient, XkitNetworkError } = require('..')
const { startEmulator } = require('../emulator')
const { answer, startServer } = require('./support/http-rigs')
const { failureOf, flat, gate, json, startPlatform } = require('./support/platform')
const { KEYS, act, closeRigs, deferred } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')

const CACHES = [
  ['off', false],
  ['on', true],
]
const CATALOG_URL = 'https://acme.xkit.example'
const [FIRST, SECOND, THIRD] = ['first-token-q8Zr', 'second-token-Hw3x', 'third-token-Lk5v']

const cleanUps = []

afterEach(async () => {
  jest.restoreAllMocks()
  jest.useRealTimers()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
  await closeRigs()
})

async function startTokens(seeds = { users: { u1: { github: {} } } }) {
  const emulator = await startEmulator(seeds)
  cleanUps.push(() => emulator.close())
  return emulator
}

async function startScript(...steps) {
  const platform = await startPlatform(...steps)
  cleanUps.push(() => platform.close())
  return platform
}

function clientOf({ baseUrl, catalogUrl, publishableKey, secretKey }, options) {
  return new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey, ...options })
}

const active = token => json(200, flat({ authorization: { access_token: token } }))
const disabled = json(200, flat({ connection: { enabled: false }, authorization: null }))

/** Asks the emulator's service as somebody's own code would. */
const askService = emulator => token =>
  fetch(`${emulator.serviceUrl}/github/me`, { headers: { authorization: `Bearer ${token}` } })

const unauthorized = () => new Response('the token is no good', { status: 401 })

/** A service that takes these tokens and refuses all others. */
const taking =
  (...valid) =>
  token =>
    valid.includes(token) ? new Response(token) : unauthorized()

/** Calls that have their token, and get their first answer when the test says so, one by one. */
async function heldCalls(count, call, use) {
  const calls = Array.from({ length: count }, () => {
    const arrived = deferred()
    const released = deferred()
    let uses = 0
    const outcome = call(async token => {
      if (++uses === 1) {
        arrived.resolve()
        await released.promise
      }
      return use(token)
    })
    // Each test awaits it later; until then a failure must not end the process.
    outcome.catch(() => {})
    return { arrived: arrived.promise, release: released.resolve, outcome }
  })
  await Promise.all(calls.map(({ arrived }) => arrived))
  return calls
}

describe('a token that the service takes', () => {
  test('is used once, and what `use` gives is given', async () => {
    const emulator = await startTokens()
    const response = await clientOf(emulator).withAccessToken('u1', 'github', askService(emulator))

    expect(await response.json()).toEqual({ slug: 'github', owner: { kind: 'user', id: 'u1' } })
    expect(emulator.requests).toHaveLength(1)
    expect(emulator.serviceRequests).toHaveLength(1)
  })

  test.each([undefined, null, 0, '', { ok: true }])('may bring %p', async value => {
    const emulator = await startTokens()
    expect(await clientOf(emulator).withAccessToken('u1', 'github', () => value)).toBe(value)
  })

  test('is the one of the owner that is named, of any kind', async () => {
    const owned = token => ({ 1: { github: { accessToken: token } } })
    const emulator = await startTokens({
      users: owned(FIRST),
      groups: owned(SECOND),
      contexts: owned(THIRD),
    })
    const xkit = clientOf(emulator)
    const tokenOf = owner => xkit.withAccessToken(owner, 'github', token => token)

    expect(await tokenOf('1')).toBe(FIRST)
    expect(await tokenOf({ user: '1' })).toBe(FIRST)
    expect(await tokenOf({ group: '1' })).toBe(SECOND)
    expect(await tokenOf({ context: '1' })).toBe(THIRD)
  })

  test('is a new one with `fresh`', async () => {
    const emulator = await startTokens()
    const xkit = clientOf(emulator, { cache: true })
    await xkit.getAccessToken('u1', 'github')
    const rotated = emulator.rotateToken('u1', 'github')

    expect(await xkit.withAccessToken('u1', 'github', token => token, { fresh: true })).toBe(rotated)
  })
})

describe.each(CACHES)('20 calls whose token was revoked, with the cache %s,', (_name, cache) => {
  async function holdTwenty() {
    const emulator = await startTokens()
    const xkit = clientOf(emulator, { cache })
    const calls = await heldCalls(20, use => xkit.withAccessToken('u1', 'github', use), askService(emulator))
    emulator.revokeToken('u1', 'github')
    expect(emulator.requests).toHaveLength(1)
    return { emulator, xkit, calls }
  }

  function expectOneRefetch(emulator) {
    expect(emulator.requests).toHaveLength(2)
    const statuses = emulator.serviceRequests.map(({ status }) => status)
    expect(statuses.filter(status => status === 401)).toHaveLength(20)
    expect(statuses.filter(status => status === 200)).toHaveLength(20)
  }

  test('are all repaired by one re-fetch when they are refused at once', async () => {
    const { emulator, calls } = await holdTwenty()
    for (const { release } of calls) release()

    const responses = await Promise.all(calls.map(({ outcome }) => outcome))
    expect(responses.map(({ status }) => status)).toEqual(Array(20).fill(200))
    expectOneRefetch(emulator)
  })

  test('are all repaired by one re-fetch when they are refused one after the other', async () => {
    const { emulator, calls } = await holdTwenty()
    for (const { release, outcome } of calls) {
      release()
      expect((await outcome).status).toBe(200)
    }

    expectOneRefetch(emulator)
  })

  test('leave a client that has the new token', async () => {
    const { emulator, xkit, calls } = await holdTwenty()
    for (const { release } of calls) release()
    await Promise.all(calls.map(({ outcome }) => outcome))

    const response = await xkit.withAccessToken('u1', 'github', askService(emulator))
    expect(response.status).toBe(200)
    expect(emulator.requests).toHaveLength(cache ? 2 : 3)
    expect(emulator.serviceRequests).toHaveLength(41)
  })

  test('are all repaired by the re-fetch that is under way when they are refused', async () => {
    const refetch = gate(active(SECOND))
    const platform = await startScript(active(FIRST), refetch.step)
    const xkit = platform.client({ cache })
    const calls = await heldCalls(20, use => xkit.withAccessToken('u1', 'slack', use), taking(SECOND))

    const refetched = platform.nextRequest()
    calls[0].release()
    await refetched
    for (const { release } of calls) release()
    refetch.open()

    for (const { outcome } of calls) expect((await outcome).status).toBe(200)
    expect(platform.requests).toHaveLength(2)
  })

  test('are not answered with what an older request brings', async () => {
    const older = gate(active(FIRST))
    const platform = await startScript(active(FIRST), older.step, active(SECOND))
    const xkit = platform.client({ cache })
    const [refused] = await heldCalls(1, use => xkit.withAccessToken('u1', 'slack', use), taking(SECOND))
    const asked = platform.nextRequest()
    const other = xkit.getAccessToken('u1', 'slack', { fresh: true })
    await asked

    refused.release()
    expect((await refused.outcome).status).toBe(200)
    older.open()
    expect(await other).toBe(FIRST)
    expect(platform.requests).toHaveLength(3)
  })
})

describe('what replaced a token', () => {
  test('leads on to its own replacement when it was rejected in turn', async () => {
    const platform = await startScript(active(FIRST), active(SECOND), active(THIRD))
    const xkit = platform.client()
    const [first, late] = await heldCalls(2, use => xkit.withAccessToken('u1', 'slack', use), taking(THIRD))
    first.release()
    expect((await first.outcome).status).toBe(401)
    platform.replyWith(active(SECOND), active(THIRD))
    expect((await xkit.withAccessToken('u1', 'slack', taking(THIRD))).status).toBe(200)
    platform.replyWith()

    late.release()
    expect(await (await late.outcome).text()).toBe(THIRD)
    expect(platform.requests).toHaveLength(0)
  })

  test('ends with the last that is known where two tokens replaced each other', async () => {
    const platform = await startScript(active(FIRST), active(SECOND))
    const xkit = platform.client()
    const [first, late] = await heldCalls(2, use => xkit.withAccessToken('u1', 'slack', use), taking())
    first.release()
    await first.outcome
    platform.replyWith(active(SECOND), active(FIRST))
    await xkit.withAccessToken('u1', 'slack', taking())
    platform.replyWith()

    late.release()
    expect((await late.outcome).status).toBe(401)
    expect(platform.requests).toHaveLength(0)
  })

  test('belongs to one owner of one kind and one connector, however alike their names are', async () => {
    const named = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      [{ group: 'a' }, 'b:c'],
      [{ context: 'a' }, 'b:c'],
      ['a","b', 'c'],
    ]
    const emulator = await startTokens()
    const xkit = clientOf(emulator)
    for (const [owner, slug] of named) {
      emulator.setConnection(owner, slug, { accessToken: FIRST })
      const [refused] = await heldCalls(
        1,
        use => xkit.withAccessToken(owner, slug, use),
        token => (token === FIRST ? unauthorized() : token),
      )
      const replacement = emulator.rotateToken(owner, slug)
      refused.release()
      expect(await refused.outcome).toBe(replacement)
    }
    expect(emulator.requests).toHaveLength(2 * named.length)
  })

  test('is the same for a user however the user is named, and whatever becomes of the object', async () => {
    const platform = await startScript(active(FIRST), active(SECOND))
    const xkit = platform.client()
    const owner = { user: 'u1' }
    const owners = [owner, { user: 'u1' }, 'u1']
    const calls = await heldCalls(
      3,
      use => xkit.withAccessToken(owners.shift(), 'slack', use),
      taking(SECOND),
    )
    owner.user = 'u2'
    for (const { release, outcome } of calls) {
      release()
      expect((await outcome).status).toBe(200)
    }

    expect(platform.paths).toEqual(['/connections/u1/slack', '/connections/u1/slack'])
  })
})

describe('the same token once more', () => {
  test.each(CACHES)('gives the answer of the service as it was (cache %s)', async (_name, cache) => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client({ cache })
    const refusal = unauthorized()
    const use = jest.fn(() => refusal)

    const response = await xkit.withAccessToken('u1', 'slack', use)

    expect(response).toBe(refusal)
    expect(await response.text()).toBe('the token is no good')
    expect(use.mock.calls).toEqual([[FIRST]])
    expect(platform.requests).toHaveLength(2)
  })

  test('gives the error of the service as it was', async () => {
    const platform = await startScript(active(FIRST))
    const refusal = Object.freeze(Object.assign(new Error('401 from the SDK'), { status: 401 }))
    const call = platform.client().withAccessToken('u1', 'slack', () => {
      throw refusal
    })

    expect(await failureOf(call)).toBe(refusal)
    expect(refusal.cause).toBeUndefined()
  })

  test('costs 20 callers one re-fetch, and each gets its own answer', async () => {
    const emulator = await startTokens()
    const xkit = clientOf(emulator)
    const calls = await heldCalls(20, use => xkit.withAccessToken('u1', 'github', use), askService(emulator))
    emulator.requests.length = 0
    emulator.revokeToken('u1', 'github', { keepHandingOut: true })
    for (const { release } of calls) release()

    const responses = await Promise.all(calls.map(({ outcome }) => outcome))
    expect(responses.map(({ status }) => status)).toEqual(Array(20).fill(401))
    expect(new Set(await Promise.all(responses.map(response => response.json()))).size).toBe(20)
    expect(emulator.requests).toHaveLength(1)
  })

  test('is not kept in the cache', async () => {
    const emulator = await startTokens()
    const xkit = clientOf(emulator, { cache: true })
    const revoke = async token => {
      emulator.revokeToken('u1', 'github', { keepHandingOut: true })
      return askService(emulator)(token)
    }
    expect((await xkit.withAccessToken('u1', 'github', revoke)).status).toBe(401)
    const rotated = emulator.rotateToken('u1', 'github')

    expect(await xkit.getAccessToken('u1', 'github')).toBe(rotated)
  })
})

describe('a connection that is no longer usable', () => {
  test('rejects with where to connect, and the refusal as the cause', async () => {
    const platform = await startScript(active(FIRST), disabled)
    const refusal = unauthorized()
    const error = await failureOf(
      platform.client({ catalogUrl: CATALOG_URL }).withAccessToken('u1', 'slack', () => refusal),
    )

    expect(error).toBeInstanceOf(ConnectionUnavailableError)
    expect(error).toMatchObject({
      code: 'ERR_XKIT_NOT_ENABLED',
      connectUrl: `${CATALOG_URL}/connectors/slack`,
      connection: { status: 'not_enabled' },
      attempts: 1,
      retryable: false,
    })
    expect(error.cause).toBe(refusal)
    expect(Object.keys(error)).not.toContain('cause')
    expect(await error.cause.text()).toBe('the token is no good')
  })

  test('gives each of 20 callers an error of its own, for one re-fetch', async () => {
    const platform = await startScript(active(FIRST), disabled)
    const xkit = platform.client()
    const calls = await heldCalls(20, use => xkit.withAccessToken('u1', 'slack', use), unauthorized)
    for (const { release } of calls) release()

    const errors = await Promise.all(calls.map(({ outcome }) => failureOf(outcome)))
    expect(new Set(errors).size).toBe(20)
    expect(new Set(errors.map(({ cause }) => cause)).size).toBe(20)
    expect(new Set(errors.map(({ connection }) => connection)).size).toBe(20)
    expect(platform.requests).toHaveLength(2)
  })

  test('has what was thrown as its cause', async () => {
    const platform = await startScript(active(FIRST), disabled)
    const refusal = Object.assign(new Error('401 from the SDK'), { statusCode: 401 })
    const call = platform.client().withAccessToken('u1', 'slack', () => Promise.reject(refusal))

    expect((await failureOf(call)).cause).toBe(refusal)
  })
})

describe('a re-fetch that fails', () => {
  test('rejects with its own error, with the refusal as the cause', async () => {
    const platform = await startScript(active(FIRST), json(429, {}, { 'retry-after': '7' }))
    const refusal = unauthorized()
    const error = await failureOf(
      platform.client({ maxRetries: 0 }).withAccessToken('u1', 'slack', () => refusal),
    )

    expect(error).toBeInstanceOf(XkitApiError)
    expect(error).toMatchObject({
      code: 'ERR_XKIT_RATE_LIMITED',
      status: 429,
      retryAfterMs: 7000,
      attempts: 1,
    })
    expect(error.cause).toBe(refusal)
  })

  test('keeps a cause that tells more of the failure', async () => {
    const emulator = await startTokens()
    const endPlatform = async () => {
      await emulator.close()
      return unauthorized()
    }
    const xkit = clientOf(emulator, { maxRetries: 0 })
    const error = await failureOf(xkit.withAccessToken('u1', 'github', endPlatform))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error.code).toBe('ERR_XKIT_CONNECT')
    expect(error.cause).toBeInstanceOf(Error)
  })

  describe('with the token in what `use` threw', () => {
    const thrown = token =>
      Object.assign(new Error(`no ${token}`), {
        name: 'AxiosError',
        status: 401,
        config: { headers: { Authorization: `Bearer ${token}` } },
      })

    test.each([
      ['whose connection is gone', disabled],
      ['that the platform cannot answer', json(503, {})],
    ])('and %s keeps it as the cause, and prints it without the token', async (_what, answer) => {
      const platform = await startScript(active(FIRST), answer)
      const refusal = thrown(FIRST)
      const call = platform
        .client({ maxRetries: 0 })
        .withAccessToken('u1', 'slack', () => Promise.reject(refusal))
      const error = await failureOf(call)

      expect(error.cause).toBe(refusal)
      for (const options of [
        {},
        { showHidden: true },
        { depth: null },
        { customInspect: false, depth: null },
      ]) {
        expect(inspect(error, options)).not.toContain(FIRST)
        expect(inspect({ error }, options)).not.toContain(FIRST)
      }
      for (const value of [
        JSON.stringify(error),
        JSON.stringify({ ...error }),
        format('%o %O %j', error, error, error),
      ]) {
        expect(value).not.toContain(FIRST)
      }
      expect(inspect(error)).toContain('[cause]: [AxiosError: no [token]]')
      expect(inspect(error)).toContain(error.stack)
      expect(inspect(error)).toContain(error.code)
      Object.defineProperty(error, 'cause', { value: undefined })
      expect(error.cause).toBeUndefined()
    })

    test('and a message of any length prints the beginning of it', async () => {
      const platform = await startScript(active(FIRST), disabled)
      const refuse = () => Promise.reject(Object.assign(new Error('x'.repeat(1000)), { status: 401 }))
      const error = await failureOf(platform.client().withAccessToken('u1', 'slack', refuse))

      const [shown] = inspect(error).match(/x{9,}/)
      expect(shown).toHaveLength(300 - 'Error: '.length)
    })

    test.each([
      ['a Response', unauthorized(), 'an answer with status 401'],
      ['an answer', { statusCode: 401, headers: {} }, 'an answer with status 401'],
    ])('or in %s, which it returned, prints the status', async (_what, value, text) => {
      const platform = await startScript(active(FIRST), disabled)
      const error = await failureOf(platform.client().withAccessToken('u1', 'slack', () => value))

      expect(error.cause).toBe(value)
      expect(inspect(error)).toContain(text)
    })
  })

  test('is not remembered, and its error is nobody else’s', async () => {
    const platform = await startScript(active(FIRST), json(503, {}), active(SECOND))
    const xkit = platform.client({ maxRetries: 0 })
    const calls = await heldCalls(3, use => xkit.withAccessToken('u1', 'slack', use), taking(SECOND))
    const [late, ...early] = calls
    for (const { release } of early) release()
    const errors = await Promise.all(early.map(({ outcome }) => failureOf(outcome)))
    expect(errors.map(({ code }) => code)).toEqual(['ERR_XKIT_SERVER', 'ERR_XKIT_SERVER'])
    expect(errors[0]).not.toBe(errors[1])
    expect(errors[0].cause).not.toBe(errors[1].cause)
    expect(platform.requests).toHaveLength(2)

    late.release()
    expect((await late.outcome).status).toBe(200)
    expect(platform.requests).toHaveLength(3)
  })
})

describe('a client that is closed meanwhile', () => {
  const refusal = Object.assign(new Error('401 from the SDK'), { status: 401 })
  const ways = [
    ['withAccessToken', (xkit, use) => xkit.withAccessToken('u1', 'slack', use)],
    [
      'fetch',
      async (xkit, use) => {
        const service = await startScript(async () => {
          await use()
          return json(401, {})
        })
        return xkit.fetch('u1', 'slack', service.origin)
      },
    ],
  ]

  test.each(ways)('by the function itself ends a refused `%s` with the refusal', async (_name, call) => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client()
    const response = await call(xkit, async () => {
      await xkit.close()
      return unauthorized()
    })

    expect(response.status).toBe(401)
    expect(platform.requests).toHaveLength(1)
  })

  test('ends a call with what it threw', async () => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client()
    const call = xkit.withAccessToken('u1', 'slack', async () => {
      await xkit.close()
      throw refusal
    })

    expect(await failureOf(call)).toBe(refusal)
  })

  test('lets a call that is answered end', async () => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client()
    const use = async token => {
      await xkit.close()
      return token
    }

    expect(await xkit.withAccessToken('u1', 'slack', use)).toBe(FIRST)
  })

  test('lets a call that waits for its token, or for another one, have it', async () => {
    const [first, second] = [gate(active(FIRST)), gate(active(SECOND))]
    const platform = await startScript(first.step, second.step)
    const xkit = platform.client()
    const asked = platform.nextRequest()
    const call = xkit.withAccessToken('u1', 'slack', taking(SECOND))
    await asked
    const again = platform.nextRequest()
    first.open()
    await again
    const closed = xkit.close()
    second.open()

    expect((await call).status).toBe(200)
    await closed
  })

  test('sends what can be sent once as it would otherwise', async () => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client()
    const service = await startScript(async () => {
      await xkit.close()
      return json(401, {})
    })
    const body = new Blob(['once']).stream()
    const response = await xkit.fetch('u1', 'slack', service.origin, { method: 'POST', body, duplex: 'half' })

    expect(response.status).toBe(401)
  })
})

test('a polluted Object.prototype changes no second try', async () => {
  const pollution = {
    isRejected: () => true,
    judge: () => true,
    isRepeatable: false,
    timeoutMs: 1,
    fresh: true,
    signal: AbortSignal.abort(new Error('polluted')),
    cause: 'polluted',
  }
  const held = gate(active(SECOND))
  const platform = await startScript(active(FIRST), held.step, disabled)
  const xkit = platform.client()
  let outcomes
  Object.assign(Object.prototype, pollution)
  try {
    const fine = await xkit.withAccessToken('u1', 'slack', () => new Response('fine'))
    platform.replyWith(active(FIRST), held.step, active(FIRST), disabled)
    const asked = platform.nextRequest()
    const first = xkit.withAccessToken('u1', 'slack', taking(SECOND), {})
    await asked
    await platform.nextRequest()
    // Longer than the inherited limit.
    await new Promise(resolve => setTimeout(resolve, 20))
    held.open()
    const repaired = await first
    outcomes = [await fine.text(), await repaired.text()]
  } finally {
    for (const name of Object.keys(pollution)) delete Object.prototype[name]
  }
  expect(outcomes).toEqual(['fine', SECOND])
})

describe('the stack of an error', () => {
  const refused = Object.assign(new Error('from the SDK'), { status: 401 })

  test.each([
    ['withAccessToken', xkit => xkit.withAccessToken('u1', 'slack', () => Promise.reject(refused))],
    ['fetch', xkit => xkit.fetch('u1', 'slack', 'https://service.example', { method: 'POST', body: 'x' })],
  ])('of a second token that %s cannot have names the caller', async (name, call) => {
    const platform = await startScript(active(FIRST), disabled)
    if (name === 'fetch') jest.spyOn(globalThis, 'fetch').mockResolvedValue(unauthorized())
    async function asTheUserCalls() {
      await call(platform.client())
    }
    const error = await failureOf(asTheUserCalls())

    expect(error).toBeInstanceOf(ConnectionUnavailableError)
    expect(error.stack).toMatch(/at (?:async )?asTheUserCalls /)
  })

  test.each([
    ['withAccessToken', xkit => xkit.withAccessToken('u1', 'slack', token => token)],
    ['fetch', xkit => xkit.fetch('u1', 'slack', 'https://service.example')],
  ])('of a first token that %s cannot have names the caller', async (_name, call) => {
    const platform = await startScript(disabled)
    async function asTheUserCalls() {
      await call(platform.client())
    }
    const error = await failureOf(asTheUserCalls())

    expect(error).toBeInstanceOf(ConnectionUnavailableError)
    expect(error.stack).toMatch(/at (?:async )?asTheUserCalls /)
  })

  test('that a use throws at once, with a token that was there, names the caller', async () => {
    const platform = await startScript(active(FIRST))
    const xkit = platform.client({ cache: true })
    await xkit.getAccessToken('u1', 'slack')
    await xkit.getAccessToken('u1', 'slack')
    async function asTheUserCalls() {
      await xkit.withAccessToken('u1', 'slack', () => {
        throw new Error('from the use')
      })
    }
    expect((await failureOf(asTheUserCalls())).stack).toMatch(/at (?:async )?asTheUserCalls /)
  })

  test.each([
    ['of the first use', FIRST],
    ['of the second use', SECOND],
  ])('that is thrown by %s names the caller', async (_which, culprit) => {
    const platform = await startScript(active(FIRST), active(SECOND))
    const use = async token => {
      await platform
      if (token === culprit) throw new Error('from the use')
      return unauthorized()
    }
    async function asTheUserCalls() {
      await platform.client().withAccessToken('u1', 'slack', use)
    }
    expect((await failureOf(asTheUserCalls())).stack).toMatch(/at (?:async )?asTheUserCalls /)
  })
})

describe('the limits of the caller', () => {
  test.each(['withAccessToken', 'fetch'])(
    'let `%s` fail at once where the platform asks to wait longer',
    async method => {
      const platform = await startScript(active(FIRST), () => ({
        ...json(429, {}),
        headers: { 'retry-after': '5' },
      }))
      const xkit = platform.client({ timeoutMs: 2000 })
      const { serviceUrl } = await startTokens()
      const call =
        method === 'fetch'
          ? xkit.fetch('u1', 'github', `${serviceUrl}/github/me`)
          : xkit.withAccessToken('u1', 'github', unauthorized)

      expect(await failureOf(call)).toMatchObject({
        code: 'ERR_XKIT_RATE_LIMITED',
        retryAfterMs: 5000,
        attempts: 1,
      })
      expect(platform.requests).toHaveLength(2)
    },
  )

  test('count every request that was sent for another token', async () => {
    const platform = await startScript(active(FIRST), ...Array.from({ length: 3 }, () => json(503, {})))
    const xkit = platform.client({ maxRetries: 2 })

    expect(await failureOf(xkit.withAccessToken('u1', 'slack', unauthorized))).toMatchObject({
      code: 'ERR_XKIT_SERVER',
      attempts: 3,
    })
    expect(platform.requests).toHaveLength(4)
  })
})

describe('rejections that are told by `invalidate`', () => {
  test.each(CACHES)('of one token cost fifty callers one request (cache %s)', async (_name, cache) => {
    const repair = gate(active(SECOND))
    const platform = await startScript(active(FIRST), repair.step)
    const xkit = platform.client({ cache })
    const rejected = await xkit.getAccessToken('u1', 'slack')
    const calls = Array.from({ length: 50 }, () => {
      xkit.invalidate('u1', 'slack', rejected)
      return xkit.getAccessToken('u1', 'slack')
    })
    repair.open()

    expect(await Promise.all(calls)).toEqual(Array(50).fill(SECOND))
    expect(platform.requests).toHaveLength(2)
  })

  test('do not supersede the repair of a newer token when they come late', async () => {
    const repair = gate(active(THIRD))
    const platform = await startScript(active(FIRST), active(SECOND), repair.step)
    const xkit = platform.client({ cache: true })
    expect(await xkit.getAccessToken('u1', 'slack')).toBe(FIRST)
    xkit.invalidate('u1', 'slack', FIRST)
    expect(await xkit.getAccessToken('u1', 'slack')).toBe(SECOND)
    xkit.invalidate('u1', 'slack', SECOND)
    const repaired = xkit.getAccessToken('u1', 'slack')
    xkit.invalidate('u1', 'slack', FIRST)
    const joined = xkit.getAccessToken('u1', 'slack')
    repair.open()

    expect(await Promise.all([repaired, joined])).toEqual([THIRD, THIRD])
    expect(await xkit.getAccessToken('u1', 'slack')).toBe(THIRD)
    expect(platform.requests).toHaveLength(3)
  })
})

describe('the time limit', () => {
  async function holdRefetch(clientOptions) {
    const refetch = gate(active(SECOND))
    const platform = await startScript(active(FIRST), refetch.step)
    const xkit = platform.client({ cache: true, ...clientOptions })
    // Cached, so that the limit of a test is that of the re-fetch alone.
    await xkit.getAccessToken('u1', 'slack', { timeoutMs: 60_000 })
    return { platform, refetch, xkit }
  }

  test('of one caller ends its wait for the re-fetch, and nobody else’s', async () => {
    const { platform, refetch, xkit } = await holdRefetch()
    const limits = [{ timeoutMs: 40 }, undefined, { timeoutMs: 60_000 }]
    const calls = await heldCalls(
      3,
      use => xkit.withAccessToken('u1', 'slack', use, limits.shift()),
      taking(SECOND),
    )
    for (const { release } of calls) release()

    const error = await failureOf(calls[0].outcome)
    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 })
    expect(error.message).toMatch(/within 40 ms/)
    expect(error.cause.status).toBe(401)
    refetch.open()
    for (const { outcome } of calls.slice(1)) expect((await outcome).status).toBe(200)
    expect(platform.requests).toHaveLength(2)
  })

  test('is the client’s where the caller has none', async () => {
    const { refetch, xkit } = await holdRefetch({ timeoutMs: 40 })
    const error = await failureOf(xkit.withAccessToken('u1', 'slack', unauthorized))

    expect(error.code).toBe('ERR_XKIT_TIMEOUT')
    expect(error.message).toMatch(/within 40 ms/)
    refetch.open()
  })

  test('leaves no timer behind', async () => {
    const platform = await startScript(active(FIRST), active(SECOND), active(THIRD), disabled)
    const xkit = platform.client()
    jest.useFakeTimers({ doNotFake: ['performance', 'setImmediate', 'nextTick', 'queueMicrotask'] })

    await xkit.withAccessToken('u1', 'slack', taking(SECOND))
    await failureOf(xkit.withAccessToken('u2', 'slack', unauthorized))
    expect(platform.requests).toHaveLength(4)
    expect(jest.getTimerCount()).toBe(0)
  })
})

describe('an abort', () => {
  const reason = new Error('changed my mind')
  const listenersOn = signal => getEventListeners(signal, 'abort').length

  async function startHanging(handler) {
    const server = await startServer({ handler })
    return { server, xkit: new XkitClient({ ...KEYS, baseUrl: server.baseUrl, maxRetries: 0 }) }
  }

  /** The first token comes, the second does not. */
  function secondHangs(server) {
    return (...args) => (server().requests.count === 1 ? answer(...args) : act.hang())
  }

  test('before the call asks nobody', async () => {
    const emulator = await startTokens()
    const use = jest.fn()
    const signal = AbortSignal.abort(reason)

    expect(await failureOf(clientOf(emulator).withAccessToken('u1', 'github', use, { signal }))).toBe(reason)
    expect(emulator.requests).toHaveLength(0)
    expect(use).not.toHaveBeenCalled()
  })

  test('while the token is fetched cancels that', async () => {
    const { server, xkit } = await startHanging(act.hang)
    const { signal, abort } = controller()
    const use = jest.fn()
    const call = xkit.withAccessToken('u1', 'slack', use, { signal })
    await server.requests.reaches(1)
    abort(reason)

    expect(await failureOf(call)).toBe(reason)
    await server.cancelled.reaches(1)
    expect(use).not.toHaveBeenCalled()
    expect(listenersOn(signal)).toBe(0)
  })

  test('while the token is used is left to the one who uses it', async () => {
    const emulator = await startTokens()
    const { signal, abort } = controller()
    const [call] = await heldCalls(
      1,
      use => clientOf(emulator).withAccessToken('u1', 'github', use, { signal }),
      () => 'done all the same',
    )
    abort(reason)
    call.release()

    expect(await call.outcome).toBe('done all the same')
  })

  test('after the token was refused fetches no other', async () => {
    const emulator = await startTokens()
    const { signal, abort } = controller()
    const call = clientOf(emulator).withAccessToken(
      'u1',
      'github',
      () => {
        abort(reason)
        return unauthorized()
      },
      { signal },
    )

    expect(await failureOf(call)).toBe(reason)
    expect(emulator.requests).toHaveLength(1)
    expect(listenersOn(signal)).toBe(0)
  })

  test('of the last one who waits for the re-fetch cancels it, and the next call begins another', async () => {
    const rig = await startHanging(secondHangs(() => rig.server))
    const { server, xkit } = rig
    const aborts = [controller(), controller()]
    const signals = aborts.map(({ signal }) => signal)
    const calls = await heldCalls(
      3,
      use => xkit.withAccessToken('u1', 'slack', use, { signal: signals.shift() }),
      unauthorized,
    )
    const [late] = calls.splice(2)
    for (const { release } of calls) release()
    await server.requests.reaches(2)

    aborts[0].abort(reason)
    expect(await failureOf(calls[0].outcome)).toBe(reason)
    expect(server.cancelled.count).toBe(0)
    aborts[1].abort('a reason that is no error')
    late.release()
    await expect(calls[1].outcome).rejects.toBe('a reason that is no error')
    await server.cancelled.reaches(1)
    await server.requests.reaches(3)
    for (const { signal } of aborts) expect(listenersOn(signal)).toBe(0)
    await Promise.all([xkit.close(), closeRigs(), failureOf(late.outcome)])
  })

  test('of one caller lets the others have their new token', async () => {
    const refetch = gate(active(SECOND))
    const platform = await startScript(active(FIRST), refetch.step)
    const xkit = platform.client()
    const { signal, abort } = controller()
    const options = [{ signal }]
    const calls = await heldCalls(
      20,
      use => xkit.withAccessToken('u1', 'slack', use, options.shift()),
      taking(SECOND),
    )
    const refetched = platform.nextRequest()
    for (const { release } of calls) release()
    await refetched
    abort(reason)
    expect(await failureOf(calls[0].outcome)).toBe(reason)
    refetch.open()

    for (const { outcome } of calls.slice(1)) expect((await outcome).status).toBe(200)
    expect(platform.requests).toHaveLength(2)
  })

  test('leaves its reason as it is, even if that is an error of this package', async () => {
    const refetch = gate(active(SECOND))
    const platform = await startScript(active(FIRST), refetch.step)
    const ours = await failureOf(platform.client().getAccessToken('..', 'slack'))
    const foreign = await failureOf(
      platform.client({ baseUrl: 'http://127.0.0.1:1', maxRetries: 0 }).getAccessToken('u1', 'slack'),
    )
    for (const itsReason of [ours, foreign, Object.freeze(new Error('frozen'))]) {
      platform.replyWith(active(FIRST), refetch.step)
      const { signal, abort } = controller()
      const refetched = deferred()
      const use = () => {
        platform.nextRequest().then(refetched.resolve)
        return unauthorized()
      }
      const call = platform.client().withAccessToken('u1', 'slack', use, { signal })
      const cause = itsReason.cause
      const failure = failureOf(call)
      await refetched.promise
      abort(itsReason)

      expect(await failure).toBe(itsReason)
      expect(itsReason.cause).toBe(cause)
    }
    refetch.open()
  })
})

describe('what counts as a refusal', () => {
  async function usesOf(outcome, options) {
    const platform = await startScript(active(FIRST), active(SECOND))
    const use = jest.fn(outcome)
    const call = platform.client().withAccessToken('u1', 'slack', use, options)
    const [settled] = await Promise.allSettled([call])
    expect(platform.requests).toHaveLength(use.mock.calls.length)
    return { tokens: use.mock.calls.map(([token]) => token), settled }
  }

  const twice = [FIRST, SECOND]
  const once = [FIRST]
  const headers = new Map()
  const error = fields => Object.assign(new Error('from an SDK'), fields)
  const unreadable = {
    get status() {
      throw new Error('unreadable')
    },
  }

  test.each([
    ['a Response with 401', new Response(null, { status: 401 }), twice],
    ['what looks like one', { status: 401, headers }, twice],
    ['a Response with 403', new Response(null, { status: 403 }), once],
    ['a Response with 200', new Response(null, { status: 200 }), once],
    ['a status without headers', { status: 401 }, once],
    ['a status of text', { status: '401', headers }, twice],
    ['headers without a get', { status: 401, headers: {} }, twice],
    ['the number itself', 401, once],
    ['an error that is not thrown', error({ status: 401 }), once],
    ['null', null, once],
    ['what cannot be read', unreadable, once],
  ])('returned: %s', async (_what, value, expected) => {
    const { tokens } = await usesOf(() => value)
    expect(tokens).toEqual(expected)
  })

  test.each([
    ['status 401', error({ status: 401 }), twice],
    ['statusCode 401', error({ statusCode: 401 }), twice],
    ['response.status 401', error({ response: { status: 401 } }), twice],
    ['an object with status 401', { status: 401 }, twice],
    ['status 403', error({ status: 403 }), once],
    ['statusCode 403', error({ statusCode: 403, response: { status: 403 } }), once],
    ['code 401', error({ code: 401 }), twice],
    ['the text 401', '401', once],
    ['undefined', undefined, once],
    ['null', null, once],
    ['an ordinary error', new Error('401'), once],
    ['what cannot be read', unreadable, once],
  ])('thrown: %s', async (_what, thrown, expected) => {
    const ways = [
      () => {
        throw thrown
      },
      () => Promise.reject(thrown),
    ]
    for (const way of ways) {
      const { tokens, settled } = await usesOf(way)
      expect(tokens).toEqual(expected)
      expect(settled.status).toBe('rejected')
      expect(Object.is(settled.reason, thrown)).toBe(true)
    }
  })

  test('is not an error of the platform, met by a call within the use', async () => {
    const refusing = await startScript(json(401, {}))
    const { tokens, settled } = await usesOf(() => refusing.client().getAccessToken('u2', 'github'))

    expect(tokens).toEqual(once)
    expect(settled.reason).toMatchObject({ code: 'ERR_XKIT_INVALID_API_KEY', status: 401 })
  })

  test('is said by isRejected instead, of what was returned', async () => {
    const notInChannel = { ok: false, error: 'not_in_channel' }
    const expired = { ok: false, error: 'token_expired' }
    const isRejected = value => value.error === 'token_expired'

    expect((await usesOf(() => expired, { isRejected })).tokens).toEqual(twice)
    expect((await usesOf(() => notInChannel, { isRejected })).tokens).toEqual(once)
    expect((await usesOf(unauthorized, { isRejected })).tokens).toEqual(once)
  })

  test('is said by isRejected instead, of what was thrown', async () => {
    const isRejected = value => value.status === 403
    const forbid = () => Promise.reject(error({ status: 403 }))

    expect((await usesOf(forbid, { isRejected })).tokens).toEqual(twice)
    expect((await usesOf(() => new Response(null, { status: 403 }), { isRejected })).tokens).toEqual(twice)
  })

  test('may take isRejected a while to say', async () => {
    const say = text => () => new Response(text)
    const isRejected = async response => (await response.clone().text()) === 'expired'

    expect((await usesOf(say('expired'), { isRejected })).tokens).toEqual(twice)
    const { tokens, settled } = await usesOf(say('fine'), { isRejected })
    expect(tokens).toEqual(once)
    expect(await settled.value.text()).toBe('fine')
  })

  test('is unknown when isRejected throws, which is then the outcome', async () => {
    const failure = new Error('cannot say')
    const isRejected = () => {
      throw failure
    }
    const { tokens, settled } = await usesOf(unauthorized, { isRejected })

    expect(tokens).toEqual(once)
    expect(settled.reason).toBe(failure)
  })

  test('is judged once: the second outcome is given whatever it is', async () => {
    const isRejected = jest.fn(() => true)
    const outcomes = [unauthorized(), unauthorized()]
    const second = outcomes[1]
    const { tokens, settled } = await usesOf(() => outcomes.shift(), { isRejected })
    expect(tokens).toEqual(twice)
    expect(settled.value).toBe(second)
    expect(await settled.value.text()).toBe('the token is no good')
    expect(isRejected).toHaveBeenCalledTimes(1)
  })

  test.each([
    [
      'at once',
      value => {
        throw value
      },
    ],
    ['later', value => Promise.reject(value)],
  ])('and what the second use throws %s is given as it is', async (_when, fail) => {
    const secondError = error({ status: 401 })
    const { tokens, settled } = await usesOf(token => (token === FIRST ? unauthorized() : fail(secondError)))
    expect(tokens).toEqual(twice)
    expect(settled.reason).toBe(secondError)
  })
})

describe('the body of the refusal', () => {
  async function bodyOf(refuse) {
    const platform = await startScript(active(FIRST), active(SECOND))
    const events = []
    const body = new ReadableStream({ cancel: () => void events.push('cancelled') })
    await platform.client().withAccessToken('u1', 'slack', token => {
      if (token === SECOND) return events.push('second use')
      return refuse(body)
    })
    return events
  }

  test('is cancelled before the second use, so that its connection is free', async () => {
    const inResponse = body => new Response(body, { status: 401 })
    expect(await bodyOf(inResponse)).toEqual(['cancelled', 'second use'])
    const inError = body => Promise.reject(Object.assign(new Error(), { response: inResponse(body) }))
    expect(await bodyOf(inError)).toEqual(['cancelled', 'second use'])
  })

  test('is cancelled too where it is a stream of Node', async () => {
    const destroyed = jest.fn()
    const refuse = () => ({ status: 401, headers: new Map(), body: { destroy: destroyed } })
    expect(await bodyOf(refuse)).toEqual(['second use'])
    expect(destroyed).toHaveBeenCalledTimes(1)
  })

  test('ends with nobody to listen, however its stream ends', async () => {
    const body = new Readable({ read() {}, destroy: (_error, done) => done(new Error('aborted unread')) })
    const ended = new Promise(resolve => body.on('close', resolve))
    expect(await bodyOf(() => ({ statusCode: 401, headers: {}, body }))).toEqual(['second use'])
    await ended
    expect(body.errored.message).toBe('aborted unread')
  })

  test('is left to one who reads it already', async () => {
    let reader
    const events = await bodyOf(body => {
      reader = body.getReader()
      return { status: 401, headers: new Map(), body }
    })
    expect(events).toEqual(['second use'])
    await reader.cancel()
  })
})

describe('a group, whose calls may get tokens of two members,', () => {
  const group = { group: 'acme' }

  test('has each of two rejected tokens replaced by its own value', async () => {
    const platform = await startScript(active(FIRST), active(SECOND), active(THIRD))
    const xkit = platform.client()
    const [ofFirst] = await heldCalls(1, use => xkit.withAccessToken(group, 'slack', use), taking(THIRD))
    const [ofSecond] = await heldCalls(1, use => xkit.withAccessToken(group, 'slack', use), taking(THIRD))
    ofFirst.release()
    ofSecond.release()

    expect(await (await ofFirst.outcome).text()).toBe(THIRD)
    expect(await (await ofSecond.outcome).text()).toBe(THIRD)
    expect(platform.requests).toHaveLength(4)
  })

  test('keeps the cached token of one member when that of another is refused', async () => {
    const platform = await startScript(active(FIRST), active(SECOND))
    const xkit = platform.client({ cache: true })
    const [ofFirst] = await heldCalls(1, use => xkit.withAccessToken(group, 'slack', use), taking(SECOND))
    expect(await xkit.getAccessToken(group, 'slack', { fresh: true })).toBe(SECOND)
    ofFirst.release()

    expect((await ofFirst.outcome).status).toBe(200)
    expect(await xkit.getGroupAccessToken('acme', 'slack')).toBe(SECOND)
    expect(platform.requests).toHaveLength(2)
  })
})

describe('wrong arguments', () => {
  const use = token => token

  test.each([
    ['no use', 'ERR_INVALID_ARG_TYPE', 'use', ['u1', 'github']],
    ['a use that is no function', 'ERR_INVALID_ARG_TYPE', 'use', ['u1', 'github', {}]],
    ['options that are none', 'ERR_INVALID_ARG_TYPE', 'options', ['u1', 'github', use, null]],
    ['an unknown option', 'ERR_INVALID_ARG_VALUE', 'options', ['u1', 'github', use, { retries: 2 }]],
    [
      'an isRejected that is no function',
      'ERR_INVALID_ARG_TYPE',
      'options.isRejected',
      ['u1', 'github', use, { isRejected: 403 }],
    ],
    [
      'a signal that is none',
      'ERR_INVALID_ARG_TYPE',
      'options.signal',
      ['u1', 'github', use, { signal: {} }],
    ],
    [
      'a limit that is none',
      'ERR_INVALID_ARG_VALUE',
      'options.timeoutMs',
      ['u1', 'github', use, { timeoutMs: 0 }],
    ],
    [
      'a fresh that is no boolean',
      'ERR_INVALID_ARG_TYPE',
      'options.fresh',
      ['u1', 'github', use, { fresh: 1 }],
    ],
    ['an owner that is none', 'ERR_INVALID_ARG_TYPE', 'owner', [7, 'github', use]],
    ['two owners', 'ERR_INVALID_ARG_VALUE', 'owner', [{ user: 'u1', group: 'g' }, 'github', use]],
    ['an id that is none', 'ERR_INVALID_ARG_VALUE', 'user', ['..', 'github', use]],
    ['a slug that is none', 'ERR_INVALID_ARG_TYPE', 'slug', ['u1', undefined, use]],
  ])('such as %s reject, and nothing is sent', async (_what, code, name, args) => {
    const emulator = await startTokens()
    const error = await failureOf(clientOf(emulator).withAccessToken(...args))

    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(name) })
    expect(emulator.requests).toHaveLength(0)
  })
})

test('no failure shows a token', async () => {
  const failures = [disabled, json(503, {}), json(401, {}), json(200, {})]
  for (const failure of failures) {
    const platform = await startScript(active(FIRST), failure)
    const xkit = platform.client({ maxRetries: 0 })
    const error = await failureOf(xkit.withAccessToken('u1', 'slack', unauthorized))
    expectNoSecrets(error, [FIRST])
    expectNoSecrets(xkit, [FIRST])
  }
  const platform = await startScript(active(FIRST), active(SECOND))
  const xkit = platform.client()
  await xkit.withAccessToken('u1', 'slack', taking(SECOND))
  expectNoSecrets(xkit, [FIRST, SECOND])
})

function controller() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: reason => controller.abort(reason) }
}
