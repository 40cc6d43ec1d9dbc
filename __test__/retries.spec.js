const { ACCESS_TOKEN, failureOf, flat, html, json, startPlatform } = require('./support/platform')

const active = json(200, flat())
const unavailable = headers => json(503, {}, headers)

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

describe('a status that passes', () => {
  test.each([408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529])(
    '%d is tried again',
    async status => {
      platform.replyWith(html(status), active)
      const client = platform.client()

      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)

      expect(platform.paths).toEqual(['/connections/u1/slack', '/connections/u1/slack'])
      expect(client.stats()).toMatchObject({ calls: 1, requests: 2, retries: 1, failures: 0 })
    },
  )

  test('is tried again with the same request', async () => {
    platform.replyWith(unavailable(), unavailable(), active)

    await platform.client().getAccessToken({ group: 'acme' }, 'slack')

    const [first, ...again] = platform.requests.map(({ method, url, rawHeaders }) => [
      method,
      url,
      rawHeaders,
    ])
    expect(again).toEqual([first, first])
  })

  test.each([
    [undefined, 3],
    [2, 3],
    [1, 2],
    [0, 1],
  ])('with `maxRetries` %p is asked for in %d requests at most', async (maxRetries, requests) => {
    platform.replyWith(unavailable())
    const client = platform.client({ maxRetries })

    const error = await failureOf(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_SERVER', status: 503, attempts: requests, retryable: true })
    expect(platform.requests).toHaveLength(requests)
    expect(client.stats()).toMatchObject({ requests, retries: requests - 1, failures: 1 })
  })

  test('may change from one request to the next: the last one counts', async () => {
    platform.replyWith(
      html(500, { 'x-request-id': 'first' }),
      html(502),
      html(504, { 'x-request-id': 'last' }),
    )

    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ status: 504, requestId: 'last', attempts: 3 })
  })

  test('may become a definitive one, which ends the call', async () => {
    platform.replyWith(unavailable(), json(404, { error: 'not found' }))

    await expect(platform.client().getConnection('u1', 'slack')).resolves.toMatchObject({
      status: 'not_provisioned',
    })
    expect(platform.requests).toHaveLength(2)
  })
})

test('the limit of a call names the failure before it as its cause', async () => {
  platform.replyWith(html(503), () => {})
  const error = await failureOf(platform.client({ timeoutMs: 500 }).getAccessToken('u1', 'slack'))
  expect(error).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 2 })
  expect(error.cause.message).toMatch(/answered 503/)

  platform.replyWith(() => {})
  const alone = await failureOf(platform.client({ timeoutMs: 100 }).getAccessToken('u2', 'slack'))
  expect(alone.cause).toBeUndefined()
})

describe('a status that stays', () => {
  test.each([
    [400, 'ERR_XKIT_HTTP'],
    [401, 'ERR_XKIT_INVALID_API_KEY'],
    [402, 'ERR_XKIT_HTTP'],
    [403, 'ERR_XKIT_FORBIDDEN'],
    [404, 'ERR_XKIT_HTTP'],
    [405, 'ERR_XKIT_HTTP'],
    [406, 'ERR_XKIT_HTTP'],
    [410, 'ERR_XKIT_HTTP'],
    [413, 'ERR_XKIT_HTTP'],
    [418, 'ERR_XKIT_HTTP'],
    [422, 'ERR_XKIT_HTTP'],
    [431, 'ERR_XKIT_HTTP'],
    [451, 'ERR_XKIT_HTTP'],
    [501, 'ERR_XKIT_SERVER'],
    [505, 'ERR_XKIT_SERVER'],
  ])('%d is asked for once, even with a Retry-After', async (status, code) => {
    platform.replyWith(html(status, { 'retry-after': '0' }), active)

    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code, status, attempts: 1, retryable: false })
    expect(platform.requests).toHaveLength(1)
  })
})

describe('Retry-After', () => {
  // Judged by the local clock, the first date is long past and the second is decades away.
  const PAST = 'Tue, 01 Jan 2019 00:00:00 GMT'
  const PAST_PLUS_1_S = 'Tue, 01 Jan 2019 00:00:01 GMT'
  const PAST_PLUS_1_H = 'Tue, 01 Jan 2019 01:00:00 GMT'
  const FUTURE = 'Thu, 01 Jan 2099 00:00:00 GMT'
  const FUTURE_PLUS_1_S = 'Thu, 01 Jan 2099 00:00:01 GMT'
  const FUTURE_PLUS_1_H = 'Thu, 01 Jan 2099 01:00:00 GMT'

  test('is obeyed in seconds, and as a date by the clock of the answer', async () => {
    const waits = {
      seconds: { 'retry-after': '1' },
      past: { date: PAST, 'retry-after': PAST_PLUS_1_S },
      future: { date: FUTURE, 'retry-after': FUTURE_PLUS_1_S },
    }
    const seen = {}
    platform.replyWith(({ url, at }) => {
      const kind = url.split('/').at(-2)
      seen[kind] = [...(seen[kind] ?? []), at]
      return seen[kind].length === 1 ? unavailable(waits[kind]) : active
    })
    const client = platform.client()

    // All at once, so that they take one second together.
    await Promise.all(Object.keys(waits).map(kind => client.getAccessToken(kind, 'slack')))

    for (const kind of Object.keys(waits)) {
      const [first, second] = seen[kind]
      // The server's and the client's timers round in their own ways.
      expect(second - first).toBeGreaterThan(980)
    }
  })

  test.each([
    ['11 seconds', { 'retry-after': '11' }, 11_000],
    ['a day', { 'retry-after': '86400' }, 86_400_000],
    ['a date in an hour, long ago', { date: PAST, 'retry-after': PAST_PLUS_1_H }, 3_600_000],
    ['a date in an hour, far ahead', { date: FUTURE, 'retry-after': FUTURE_PLUS_1_H }, 3_600_000],
  ])('of %s fails the call at once and is passed on', async (_, headers, retryAfterMs) => {
    for (const status of [429, 503]) {
      platform.replyWith(html(status, headers), active)

      const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

      expect(error).toMatchObject({ status, retryAfterMs, attempts: 1, retryable: true })
      expect(platform.requests).toHaveLength(1)
    }
  })

  test('beyond the time left of the call fails it at once, with what the platform said', async () => {
    platform.replyWith(html(429, { 'retry-after': '2' }), active)
    const client = platform.client({ timeoutMs: 1500 })

    const error = await failureOf(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_RATE_LIMITED', retryAfterMs: 2000, attempts: 1 })
    expect(platform.requests).toHaveLength(1)
  })

  test('that means nothing is ignored', async () => {
    const date = 'Tue, 99 Foo 2019 00:00:00 GMT'
    for (const value of [
      '',
      'soon',
      '-5',
      '5 seconds',
      '1e3',
      '0x10',
      '1,5',
      'Infinity',
      'NaN',
      PAST,
      date,
    ]) {
      platform.replyWith(unavailable({ 'retry-after': value }))

      const error = await failureOf(platform.client({ maxRetries: 1 }).getAccessToken('u1', 'slack'))

      expect([value, error.code, error.attempts]).toEqual([value, 'ERR_XKIT_SERVER', 2])
      expect(platform.requests).toHaveLength(2)
    }
  })

  test.each([
    ['a thousand years', '31536000000'],
    ['a number that no integer holds', '9'.repeat(40)],
    ['the largest of its type', '18446744073709551615'],
    ['two of them', ['1', '86400']],
    ['two of them, the other way round', ['86400', '1']],
    ['one of them and garbage', ['soon', '86400']],
    ['bytes that are no text', Buffer.from([0xff, 0xfe]).toString('latin1')],
  ])('of %s never hangs the call', async (_, value) => {
    platform.replyWith(unavailable({ 'retry-after': value }))

    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_SERVER', status: 503 })
    expect(error.retryAfterMs ?? 0).toBeGreaterThanOrEqual(0)
    expect(Number.isFinite(error.retryAfterMs ?? 0)).toBe(true)
    expect(platform.requests).toHaveLength(error.attempts)
  })

  test('of an answer without a date is judged by the local clock', async () => {
    platform.replyWith((_request, response) => {
      response.sendDate = false
      return unavailable({ 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() })
    })

    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))

    // The header has whole seconds.
    expect(error.retryAfterMs).toBeGreaterThan(3_597_000)
    expect(error.retryAfterMs).toBeLessThanOrEqual(3_600_000)
    expect(error.attempts).toBe(1)
  })
})

describe('the quota of a client', () => {
  const CALLS = 4000
  const BUCKET = 500
  const COST_OF_A_RETRY = 14

  test('lets an outage cost no more than one request in a hundred', async () => {
    platform.replyWith(unavailable())
    const client = platform.client({ timeoutMs: 600_000, attemptTimeoutMs: 600_000 })

    const failures = await Promise.all(
      Array.from({ length: CALLS }, (_, i) => failureOf(client.getAccessToken(`u${i}`, 'slack'))),
    )

    const retries = platform.requests.length - CALLS
    expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['ERR_XKIT_SERVER']))
    expect(retries).toBeGreaterThan(0)
    expect(retries).toBeLessThanOrEqual(BUCKET / COST_OF_A_RETRY)
    expect(platform.requests.length).toBeLessThanOrEqual(CALLS * 1.01)
    expect(client.stats()).toMatchObject({
      calls: CALLS,
      requests: CALLS + retries,
      retries,
      failures: CALLS,
    })

    // Spent, but by this client only.
    expect(await failureOf(client.getAccessToken('u1', 'slack'))).toMatchObject({ attempts: 1 })
    expect(await failureOf(platform.client().getAccessToken('u1', 'slack'))).toMatchObject({ attempts: 3 })
  })
})
