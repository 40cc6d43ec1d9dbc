// Owns the proof of `XkitClient.fetch`: what reaches the service, and what is sent a second time.
'use strict'

const { Readable } = require('node:stream')
const { XkitApiError } = require('..')
const { failureOf, flat, gate, json, startPlatform } = require('./support/platform')
const { deferred } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')

const [FIRST, SECOND] = ['first-token-q8Zr', 'second-token-Hw3x']
const BODY = 'what is sent, ä'

const platforms = []

afterEach(async () => {
  for (const platform of platforms.splice(0)) await platform.close()
})

async function start(...script) {
  const platform = await startPlatform(...script)
  platforms.push(platform)
  return platform
}

const active = token => json(200, flat({ authorization: { access_token: token } }))

/** A service that refuses the first token, and a platform that has a second one. */
async function startBoth({ options, refuse = 401 } = {}) {
  const platform = await start(active(FIRST), active(SECOND))
  const service = await start(({ headers }) =>
    headers.authorization === `Bearer ${SECOND}`
      ? json(200, { ok: true })
      : json(refuse, { error: 'refused' }),
  )
  return { platform, service, xkit: platform.client(options), url: `${service.origin}/things?a=1` }
}

const authorizations = ({ requests }) => requests.map(({ headers }) => headers.authorization)

test('a request goes out with the token, and once more with a new one after a 401', async () => {
  const { platform, service, xkit, url } = await startBoth()

  const response = await xkit.fetch('u1', 'slack', url)

  expect(response).toBeInstanceOf(Response)
  expect(await response.json()).toEqual({ ok: true })
  expect(service.requests.map(({ method, url }) => [method, url])).toEqual([
    ['GET', '/things?a=1'],
    ['GET', '/things?a=1'],
  ])
  expect(authorizations(service)).toEqual([`Bearer ${FIRST}`, `Bearer ${SECOND}`])
  expect(platform.requests).toHaveLength(2)
})

test('a 403 is given as it is', async () => {
  const { platform, service, xkit, url } = await startBoth({ refuse: 403 })

  expect((await xkit.fetch('u1', 'slack', url)).status).toBe(403)
  expect(service.requests).toHaveLength(1)
  expect(platform.requests).toHaveLength(1)
})

test('20 requests that are refused at once cost one re-fetch', async () => {
  const platform = await start(active(FIRST), active(SECOND))
  const all = deferred()
  const service = await start(async ({ headers }) => {
    if (headers.authorization === `Bearer ${SECOND}`) return json(200, {})
    if (service.requests.length === 20) all.resolve()
    await all.promise
    return json(401, {})
  })
  const xkit = platform.client()

  const responses = await Promise.all(
    Array.from({ length: 20 }, () => xkit.fetch('u1', 'slack', service.origin)),
  )

  expect(responses.map(({ status }) => status)).toEqual(Array(20).fill(200))
  expect(platform.requests).toHaveLength(2)
})

describe('the token', () => {
  const own = { Authorization: 'Basic b3RoZXI6b25l', 'X-Kept': 'kept' }

  test.each([
    ['an object', url => [url, { headers: own }]],
    ['Headers', url => [url, { headers: new Headers(own) }]],
    ['a list', url => [url, { headers: Object.entries(own) }]],
    ['the Request', url => [new Request(url, { headers: own })]],
    ['a URL and an object', url => [new URL(url), { headers: own }]],
  ])('replaces an Authorization in %s, and nothing else', async (_what, args) => {
    const { service, xkit, url } = await startBoth()
    const given = args(url)

    expect((await xkit.fetch('u1', 'slack', ...given)).status).toBe(200)
    expect(authorizations(service)).toEqual([`Bearer ${FIRST}`, `Bearer ${SECOND}`])
    expect(service.requests.map(({ headers }) => headers['x-kept'])).toEqual(['kept', 'kept'])
    expect(own).toEqual({ Authorization: 'Basic b3RoZXI6b25l', 'X-Kept': 'kept' })
  })

  test('that no header can carry is an error that does not show it', async () => {
    const token = 'secret-token-€-of-u1'
    const platform = await start(active(token))
    const service = await start(json(200, {}))
    const error = await failureOf(platform.client().fetch('u1', 'slack', service.origin))

    expect(error).toBeInstanceOf(XkitApiError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_INVALID_RESPONSE', retryable: false })
    expectNoSecrets(error, [token])
    expect(service.requests).toHaveLength(0)
  })

  test('is in no error of a fetch that fails', async () => {
    const platform = await start(active(FIRST))
    const service = await start(json(200, {}))
    const { origin } = service
    await service.close()
    platforms.pop()
    const error = await failureOf(platform.client().fetch('u1', 'slack', origin))

    expect(error.message).toBe('fetch failed')
    expectNoSecrets(error, [FIRST])
    expect(platform.requests).toHaveLength(1)
  })
})

describe('a body', () => {
  const form = new FormData()
  form.set('field', BODY)

  test.each([
    ['text', () => BODY],
    ['bytes', () => Buffer.from(BODY)],
    ['an ArrayBuffer', () => new TextEncoder().encode(BODY).buffer],
    ['a Blob', () => new Blob([BODY])],
    ['URLSearchParams', () => new URLSearchParams({ field: BODY })],
    ['FormData', () => form],
  ])('of %s is sent again', async (_what, body) => {
    const { service, xkit, url } = await startBoth()

    expect((await xkit.fetch('u1', 'slack', url, { method: 'POST', body: body() })).status).toBe(200)
    const [first, second] = service.requests.map(({ body }) => Buffer.from(body, 'latin1').toString())
    const boundary = /-+formdata-\S+?(?=--|\r)/g
    expect(first).toMatch(/what.is.sent/)
    expect(second.replaceAll(boundary, '')).toBe(first.replaceAll(boundary, ''))
  })

  async function* generate() {
    yield Buffer.from(BODY)
  }
  const oneShots = [
    ['a ReadableStream', url => [url, { body: new Blob([BODY]).stream() }]],
    ['a stream of Node', url => [url, { body: Readable.from([Buffer.from(BODY)]) }]],
    ['an async iterable', url => [url, { body: generate() }]],
    ['a Request', url => [new Request(url, { method: 'POST', body: BODY })]],
    ['a Request with another method', url => [new Request(url, { method: 'PUT', body: BODY }), {}]],
  ]
  const post = init => init && { method: 'POST', duplex: 'half', ...init }

  test.each(oneShots)('of %s is sent once: the 401 is given, and the token dropped', async (_what, args) => {
    const { platform, service, xkit, url } = await startBoth({ options: { cache: true } })
    const [input, init] = args(url)

    const response = await xkit.fetch('u1', 'slack', input, post(init))

    expect(response.status).toBe(401)
    expect(await response.json()).toEqual({ error: 'refused' })
    expect(service.requests.map(({ body }) => Buffer.from(body, 'latin1').toString())).toEqual([BODY])
    expect(platform.requests).toHaveLength(1)
    expect(await xkit.getAccessToken('u1', 'slack')).toBe(SECOND)
  })

  test.each(oneShots)('of %s goes through with a token that is taken', async (_what, args) => {
    const { service, xkit, url } = await startBoth()
    await xkit.getAccessToken('u1', 'slack')
    const [input, init] = args(url)

    expect((await xkit.fetch('u1', 'slack', input, post(init))).status).toBe(200)
    expect(Buffer.from(service.requests[0].body, 'latin1').toString()).toBe(BODY)
  })

  test('that takes the place of a Request’s own is sent again', async () => {
    const { service, xkit, url } = await startBoth()
    const request = new Request(url, { method: 'POST', body: 'not this' })

    expect((await xkit.fetch('u1', 'slack', request, { body: 'but this' })).status).toBe(200)
    expect(service.requests.map(({ body }) => body)).toEqual(['but this', 'but this'])
  })

  test('that a Request lacks is no hindrance', async () => {
    const { service, xkit, url } = await startBoth()

    expect((await xkit.fetch('u1', 'slack', new Request(url, { method: 'DELETE' }))).status).toBe(200)
    expect(service.requests.map(({ method }) => method)).toEqual(['DELETE', 'DELETE'])
  })
})

describe('the signal', () => {
  const reason = new Error('changed my mind')
  const unused = new AbortController().signal

  test.each([
    ['of init', (url, signal) => [url, { signal }]],
    ['of the Request', (url, signal) => [new Request(url, { signal })]],
    ['of the Request with an init', (url, signal) => [new Request(url, { signal }), { method: 'GET' }]],
    [
      'of init in place of the Request’s',
      (url, signal) => [new Request(url, { signal: unused }), { signal }],
    ],
  ])('%s cancels the fetching of the token', async (_what, args) => {
    const held = gate(active(FIRST))
    const platform = await start(held.step)
    const service = await start(json(200, {}))
    const controller = new AbortController()
    const asked = platform.nextRequest()
    const call = platform.client().fetch('u1', 'slack', ...args(service.origin, controller.signal))
    await asked
    controller.abort(reason)

    expect(await failureOf(call)).toBe(reason)
    held.open()
    expect(service.requests).toHaveLength(0)
  })

  test('cancels the re-fetch, and the request to the service', async () => {
    for (const step of ['platform', 'service']) {
      const held = gate(active(SECOND))
      const platform = await start(active(FIRST), step === 'platform' ? held.step : active(SECOND))
      const service = await start(json(401, {}), held.step)
      const controller = new AbortController()
      const arrived = deferred()
      const rigs = { platform, service }
      const call = platform.client().fetch('u1', 'slack', service.origin, { signal: controller.signal })
      const failure = failureOf(call)
      await rigs[step].nextRequest()
      rigs[step].nextRequest().then(arrived.resolve)
      await arrived.promise
      controller.abort(reason)

      expect(await failure).toBe(reason)
      held.open()
    }
  })

  test('of null takes none, not even the Request’s', async () => {
    const { xkit, url } = await startBoth()
    const request = new Request(url, { signal: AbortSignal.abort(reason) })

    expect((await xkit.fetch('u1', 'slack', request, { signal: null })).status).toBe(200)
  })
})

describe('wrong arguments', () => {
  test.each([
    ['an init that is none', ['u1', 'slack', 'http://127.0.0.1', 'POST']],
    ['an owner that is none', [7, 'slack', 'http://127.0.0.1']],
    ['a signal that is none', ['u1', 'slack', 'http://127.0.0.1', { signal: {} }]],
  ])('such as %s reject, and nothing is sent', async (_what, args) => {
    const { platform, xkit } = await startBoth()

    expect(await failureOf(xkit.fetch(...args))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
    })
    expect(platform.requests).toHaveLength(0)
  })

  test('such as a URL that is none are refused by fetch itself', async () => {
    const { xkit } = await startBoth()
    const error = await failureOf(xkit.fetch('u1', 'slack', 'nonsense'))

    // Not by class: fetch is of another realm than the test.
    expect(error.name).toBe('TypeError')
    expectNoSecrets(error, [FIRST])
  })

  test('such as inherited fields of init are nobody’s', async () => {
    const { service, xkit, url } = await startBoth()
    const inherited = { method: 'DELETE', signal: AbortSignal.abort() }
    const init = Object.assign(Object.create(inherited), { headers: { 'x-own': '1' } })

    expect((await xkit.fetch('u1', 'slack', url, init)).status).toBe(200)
    expect(service.requests.map(({ method, headers }) => [method, headers['x-own']])).toEqual([
      ['GET', '1'],
      ['GET', '1'],
    ])
  })
})
