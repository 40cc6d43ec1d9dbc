// Owns the proof of `XkitClient.fetch`: what reaches the service, and what is sent a second time.
'use strict'

const { Readable } = require('node:stream')
const { gzipSync } = require('node:zlib')
const { XkitApiError } = require('..')
const { failureOf, flat, gate, json, startPlatform } = require('./support/platform')
const { deferred } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')

const [FIRST, SECOND] = ['first-token-q8Zr', 'second-token-Hw3x']
const BODY = 'what is sent, ä'

const platforms = []

afterEach(async () => {
  jest.restoreAllMocks()
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

describe('an answer that tells it in its body', () => {
  const PADDING = 'x'.repeat(70_000)

  /** What the service answers to a token that is not the second one; whether that was taken for a rejection. */
  async function isRepaired(refusal) {
    const platform = await start(active(FIRST), active(SECOND))
    const service = await start((request, response) => {
      if (request.headers.authorization === `Bearer ${SECOND}`) return json(200, { fine: true })
      return typeof refusal === 'function' ? refusal(request, response) : refusal
    })
    const answer = await platform.client().fetch('u1', 'slack', service.origin)
    const text = await answer.text()
    expect(platform.requests).toHaveLength(service.requests.length)
    if (service.requests.length === 1) return { isGivenAs: text }
    expect(text).toBe('{"fine":true}')
    return true
  }

  test.each([
    ['a 200 that is not ok', json(200, { ok: false, error: 'token_expired' })],
    ['a 200 of GraphQL', json(200, { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] })],
    ['a 400 with a code', json(400, { error: { type: 'OAuthException', code: 190 } })],
    ['a 403 with a code', json(403, { status: 403, err: 'Invalid token' })],
    [
      'JSON of another name',
      json(400, { error: 'invalid_token' }, { 'content-type': 'application/problem+json' }),
    ],
    [
      'JSON with a charset',
      json(403, { error: 'token_expired' }, { 'content-type': 'application/json; charset=utf-8' }),
    ],
    [
      'one that comes in parts, of a length that is known',
      (_request, response) => {
        const { headers, body } = json(200, { ok: false, error: 'token_expired' })
        response.writeHead(200, { ...headers, 'content-length': body.length })
        response.write(body.slice(0, 5))
        setImmediate(() => response.end(body.slice(5)))
      },
    ],
    [
      'one that is compressed',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        response.end(gzipSync('{"ok":false,"error":"token_expired"}'))
      },
    ],
  ])('as %s is repaired', async (_what, refusal) => {
    expect(await isRepaired(refusal)).toBe(true)
  })

  test.each([
    ['a scope', json(200, { ok: false, error: 'missing_scope' })],
    ['a 403 for a scope', json(403, { error: 'insufficient_scope' })],
    ['a failure of something else', json(200, { ok: false, error: 'channel_not_found' })],
    ['a 404', json(404, { error: 'invalid_token' })],
    ['a 429', json(429, { ok: false, error: 'token_expired' })],
    ['a 500', json(500, { error: 'token_expired' })],
    [
      'what is no JSON',
      { status: 403, headers: { 'content-type': 'text/html' }, body: '{"error":"invalid_token"}' },
    ],
    [
      'what says that it is JSON',
      { status: 403, headers: { 'content-type': 'application/json' }, body: 'invalid_token' },
    ],
    ['what is long', json(403, { error: 'invalid_token', padding: PADDING })],
    [
      'what is long without saying so',
      (_request, response) => {
        response.writeHead(403, { 'content-type': 'application/json' })
        response.write(JSON.stringify({ error: 'invalid_token', padding: PADDING }))
        response.end()
      },
    ],
    ['nothing', { status: 200, headers: { 'content-type': 'application/json' } }],
    [
      'a 401 that asks for a scope',
      json(401, {}, { 'www-authenticate': 'Bearer error="insufficient_scope"' }),
    ],
  ])('but tells of %s is given as it is', async (_what, refusal) => {
    const { isGivenAs } = await isRepaired(refusal)
    if (typeof refusal === 'object') expect(isGivenAs).toBe(refusal.body ?? '')
    else expect(isGivenAs).toContain(PADDING)
  })

  test('is not waited for beyond its first chunk, and what follows reaches the caller as it comes', async () => {
    const platform = await start(active(FIRST))
    let send
    const service = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('[{"row":1}')
      send = response
    })
    const response = await platform.client().fetch('u1', 'slack', service.origin)
    const reader = response.body.getReader()
    const read = async () => Buffer.from((await reader.read()).value ?? []).toString()

    expect(await read()).toBe('[{"row":1}')
    send.write(',{"row":2}')
    expect(await read()).toBe(',{"row":2}')
    send.end(']')
    expect(await read()).toBe(']')
    expect((await reader.read()).done).toBe(true)
  })

  test.each(['text/event-stream', 'application/x-ndjson', 'application/octet-stream'])(
    'is not looked for in %s, which is given before its first byte',
    async type => {
      const platform = await start(active(FIRST))
      let send
      const service = await start((_request, response) => {
        response.writeHead(200, { 'content-type': type })
        response.flushHeaders()
        send = response
      })
      const response = await platform.client().fetch('u1', 'slack', service.origin)

      expect(response.bodyUsed).toBe(false)
      send.end('first and last')
      expect(await response.text()).toBe('first and last')
    },
  )

  test('does not fill the memory: a long body waits until the caller reads it', async () => {
    const platform = await start(active(FIRST))
    const chunk = `"${'x'.repeat(1 << 20)}",`
    const [stuck, flowing] = [deferred(), deferred()]
    let sent = 0
    const service = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const more = () => {
        while (sent < 64) {
          sent++
          if (!response.write(chunk)) {
            stuck.resolve()
            response.once('drain', more)
            return
          }
        }
        response.end()
        flowing.resolve()
      }
      more()
    })
    const response = await platform.client().fetch('u1', 'slack', service.origin)
    await stuck.promise
    // A second answer comes and goes while nobody reads the first one.
    const other = await start(json(200, {}))
    await (await fetch(other.origin)).text()
    expect(sent).toBeLessThan(64)

    expect((await response.text()).length).toBe(64 * chunk.length)
    await flowing.promise
  })

  test.each([
    ['does not begin', {}, ''],
    ['stops before its end', { 'content-length': 11 }, '{"ok":'],
  ])(
    'that %s is handed on all the same, and what comes late reaches the caller',
    async (_what, headers, begun) => {
      const platform = await start(active(FIRST))
      let send
      const service = await start((_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', ...headers })
        if (begun === '') response.flushHeaders()
        else response.write(begun)
        send = response
      })
      const response = await platform.client().fetch('u1', 'slack', service.origin)

      send.end('{"ok":true}'.slice(begun.length))
      expect(await response.json()).toEqual({ ok: true })
      expect(service.requests).toHaveLength(1)
    },
  )

  test('is cut with its connection: the caller finds it out by reading', async () => {
    const platform = await start(active(FIRST))
    const service = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
      response.write('{"ok":', () => response.destroy())
    })
    const response = await platform.client().fetch('u1', 'slack', service.origin)

    expect((await failureOf(response.text())).name).toBe('TypeError')
    expect(service.requests).toHaveLength(1)
  })

  test('is ended by the signal, as any body is', async () => {
    const platform = await start(active(FIRST))
    const begun = deferred()
    const service = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
      response.write('{"ok":', begun.resolve)
    })
    const controller = new AbortController()
    const call = platform.client().fetch('u1', 'slack', service.origin, { signal: controller.signal })
    await begun.promise
    controller.abort(new Error('changed my mind'))

    const failure = await failureOf(call.then(response => response.text()))
    expect(failure.message).toBe('changed my mind')
  })

  test('may be of a fetch that gives less than a Response', async () => {
    const { platform, xkit } = await startBoth()
    const answer = { status: 200, ok: true }
    jest.spyOn(globalThis, 'fetch').mockResolvedValue(answer)

    expect(await xkit.fetch('u1', 'slack', 'http://127.0.0.1')).toBe(answer)
    expect(platform.requests).toHaveLength(1)
  })
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
