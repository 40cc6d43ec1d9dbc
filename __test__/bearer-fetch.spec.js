// Owns the proof of `XkitClient.fetch`: what reaches the service, and what is sent a second time.
'use strict'

const dns = require('node:dns')
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
    ['no input', ['u1', 'slack']],
    ['an input that is none', ['u1', 'slack', 7]],
    ['a signal that is none', ['u1', 'slack', 'http://127.0.0.1', { signal: {} }]],
  ])('such as %s reject, and nothing is sent', async (_what, args) => {
    const { platform, xkit } = await startBoth()

    expect(await failureOf(xkit.fetch(...args))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
    })
    expect(platform.requests).toHaveLength(0)
  })

  test('such as a URL that is none are refused before a token is asked for', async () => {
    const { platform, xkit } = await startBoth()
    const error = await failureOf(xkit.fetch('u1', 'slack', 'nonsense'))

    expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' })
    expect(error.message).not.toContain('nonsense')
    expect(platform.requests).toHaveLength(0)
  })

  test.each([{ timeoutMs: 5 }, { fresh: true }, { isRejected: () => false }, { maxRetries: 0 }])(
    'such as %p, which fetch does not take, are refused before a token is asked for',
    async init => {
      const { platform, service, xkit, url } = await startBoth()

      expect(await failureOf(xkit.fetch('u1', 'slack', url, init))).toMatchObject({
        name: 'TypeError',
        code: 'ERR_INVALID_ARG_VALUE',
        message: expect.stringContaining(`init.${Object.keys(init)}`),
      })
      expect(platform.requests).toHaveLength(0)
      expect(service.requests).toHaveLength(0)
    },
  )

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

describe('an init that has its fields by getters', () => {
  test('such as a Request loses nothing of them', async () => {
    const { service, xkit, url } = await startBoth()
    const init = new Request('http://127.0.0.1/unused', { method: 'DELETE', headers: { 'x-kept': 'kept' } })

    expect((await xkit.fetch('u1', 'slack', url, init)).status).toBe(200)
    expect(service.requests.map(({ method, headers }) => [method, headers['x-kept']])).toEqual([
      ['DELETE', 'kept'],
      ['DELETE', 'kept'],
    ])
    expect(authorizations(service)).toEqual([`Bearer ${FIRST}`, `Bearer ${SECOND}`])
  })

  test('such as a Request with a body sends that, once', async () => {
    const { service, xkit, url } = await startBoth()
    const init = new Request('http://127.0.0.1/unused', { method: 'POST', body: BODY })

    expect((await xkit.fetch('u1', 'slack', url, init)).status).toBe(401)
    expect(
      service.requests.map(({ method, body }) => [method, Buffer.from(body, 'latin1').toString()]),
    ).toEqual([['POST', BODY]])
  })

  test('such as a Request cancels by its signal', async () => {
    const { service, xkit, url } = await startBoth()
    const reason = new Error('changed my mind')
    const init = new Request('http://127.0.0.1/unused', { signal: AbortSignal.abort(reason) })

    expect(await failureOf(xkit.fetch('u1', 'slack', url, init))).toBe(reason)
    expect(service.requests).toHaveLength(0)
  })

  test('such as an object of a class loses nothing either, but a polluted prototype adds nothing', async () => {
    const { service, xkit, url } = await startBoth()
    class Init {
      get method() {
        return 'PUT'
      }
    }
    Object.defineProperty(Object.prototype, 'body', { get: () => 'polluted', configurable: true })
    try {
      expect((await xkit.fetch('u1', 'slack', url, new Init())).status).toBe(200)
    } finally {
      delete Object.prototype.body
    }
    expect(service.requests.map(({ method, body }) => [method, body])).toEqual([
      ['PUT', ''],
      ['PUT', ''],
    ])
  })
})

describe('a redirect', () => {
  const to = (url, status = 307) => ({ status, headers: { location: url } })

  /** A service that redirects to another origin, which refuses, or to itself. */
  async function startRedirecting(options, status) {
    const both = await startBoth({ options })
    const other = await start(json(401, { error: 'invalid_token' }))
    const service = await start(({ url, headers }) => {
      if (url === '/elsewhere') return to(`${other.origin}/there`, status)
      if (url === '/here') return to('/things', status)
      return headers.authorization === `Bearer ${SECOND}` ? json(200, { ok: true }) : json(401, {})
    })
    return { ...both, other, service, to: path => `${service.origin}${path}` }
  }
  const post = { method: 'POST', body: BODY }

  test('to another origin gives its answer, and that is none about the token', async () => {
    const { platform, service, other, xkit, to } = await startRedirecting({ cache: true })

    const response = await xkit.fetch('u1', 'slack', to('/elsewhere'), post)

    expect(response.status).toBe(401)
    expect([service, other].map(({ requests }) => requests.length)).toEqual([1, 1])
    expect(authorizations(other)).toEqual([undefined])
    expect(await xkit.getAccessToken('u1', 'slack')).toBe(FIRST)
    expect(platform.requests).toHaveLength(1)
  })

  test('to another origin is none of the token’s where `use` returns its answer either', async () => {
    const { platform, service, xkit, to } = await startRedirecting()
    const use = token => fetch(to('/elsewhere'), { ...post, headers: { authorization: `Bearer ${token}` } })

    expect((await xkit.withAccessToken('u1', 'slack', use)).status).toBe(401)
    expect(service.requests).toHaveLength(1)
    expect(platform.requests).toHaveLength(1)
  })

  test('within an origin changes nothing', async () => {
    const { service, xkit, to } = await startRedirecting()

    expect((await xkit.fetch('u1', 'slack', to('/here'))).status).toBe(200)
    expect(service.requests.map(({ url }) => url)).toEqual(['/here', '/things', '/here', '/things'])
  })

  describe('of a client that has `hosts`', () => {
    const only = async status => {
      const rig = await startRedirecting({ hosts: { slack: ['127.0.0.1'] } }, status)
      const xkit = rig.platform.client({ hosts: { slack: [rig.service.host] } })
      return { ...rig, xkit }
    }

    test('to another host is not followed, and given as it is', async () => {
      const { other, service, xkit, to } = await only()
      const response = await xkit.fetch('u1', 'slack', to('/elsewhere'), post)

      expect(response.status).toBe(307)
      expect(service.requests).toHaveLength(1)
      expect(other.requests).toHaveLength(0)
    })

    test.each([
      [307, 'POST', BODY],
      [308, 'POST', BODY],
      [303, 'GET', ''],
      [302, 'GET', ''],
      [301, 'GET', ''],
    ])('within it is followed as fetch follows a %d', async (status, method, body) => {
      const { service, xkit, to } = await only(status)

      expect((await xkit.fetch('u1', 'slack', to('/here'), post)).status).toBe(200)
      const second = service.requests.slice(2)
      expect(second.map(({ method, url }) => [method, url])).toEqual([
        ['POST', '/here'],
        [method, '/things'],
      ])
      expect(Buffer.from(second[1].body, 'latin1').toString()).toBe(body)
      expect(second[1].headers.authorization).toBe(`Bearer ${SECOND}`)
      expect(second[1].headers['content-type']).toBe(body === '' ? undefined : 'text/plain;charset=UTF-8')
    })

    test('to another of its hosts leaves the token behind, as fetch does', async () => {
      const { platform, other, service, to } = await only()
      const xkit = platform.client({ hosts: { slack: [service.host, other.host] } })

      expect((await xkit.fetch('u1', 'slack', to('/elsewhere'))).status).toBe(401)
      expect(authorizations(other)).toEqual([undefined])
      expect(service.requests).toHaveLength(1)
    })

    test('of a Request, or one that is not to be followed, is given', async () => {
      const { service, xkit, to } = await only()
      const request = new Request(to('/here'), { ...post, redirect: 'follow' })
      expect((await xkit.fetch('u1', 'slack', request)).status).toBe(307)
      expect((await xkit.fetch('u1', 'slack', to('/here'), { redirect: 'manual' })).status).toBe(307)
      const manual = new Request(to('/here'), { redirect: 'manual' })
      expect((await xkit.fetch('u1', 'slack', manual)).status).toBe(307)
      expect((await failureOf(xkit.fetch('u1', 'slack', to('/here'), { redirect: 'error' }))).name).toBe(
        'TypeError',
      )
      expect(service.requests).toHaveLength(4)
    })

    test('is followed without the fields of a polluted prototype', async () => {
      const { service, xkit, to } = await only()
      Object.defineProperty(Object.prototype, 'method', { value: 'DELETE', configurable: true })
      try {
        expect((await xkit.fetch('u1', 'slack', to('/here'))).status).toBe(200)
      } finally {
        delete Object.prototype.method
      }
      expect(service.requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET', 'GET'])
    })

    test('without an end ends', async () => {
      const { platform } = await startBoth()
      const service = await start(() => to('/again'))
      const xkit = platform.client({ hosts: { slack: [service.host] } })

      expect((await xkit.fetch('u1', 'slack', service.origin)).status).toBe(307)
      expect(service.requests).toHaveLength(21)
    })
  })
})

describe('where a token may go:', () => {
  const HOST = 'service.example'

  async function refusalOf(url, options, slug = 'slack') {
    const platform = await start(active(FIRST))
    const sent = jest.spyOn(globalThis, 'fetch').mockResolvedValue(new Response())
    const outcome = platform.client(options).fetch('u1', slug, url)
    const [{ status, reason }] = await Promise.allSettled([outcome])
    const counts = [platform.requests.length, sent.mock.calls.length]
    sent.mockRestore()
    if (status === 'fulfilled') return counts
    expect(reason).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' })
    expect(reason.message).not.toContain(HOST)
    expect(counts).toEqual([0, 0])
    return 'refused'
  }

  test.each([
    `http://${HOST}/`,
    'http://128.0.0.1',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'http://[::2]',
    'ftp://127.0.0.1',
    'data:text/plain,a',
    new URL(`http://${HOST}`),
    new Request(`http://${HOST}`),
  ])('not to %s', async url => {
    expect(await refusalOf(url)).toBe('refused')
  })

  test.each([
    `https://${HOST}/`,
    'http://127.0.0.1/',
    'http://127.1.2.3/',
    'http://[::1]/',
    'http://localhost/',
    new URL(`https://${HOST}`),
    new Request(`https://${HOST}`),
  ])('to %s', async url => {
    expect(await refusalOf(url)).toEqual([1, 1])
  })

  test('to any http: host with `allowHttp`, but not to other schemes', async () => {
    expect(await refusalOf(`http://${HOST}`, { allowHttp: true })).toEqual([1, 1])
    expect(await refusalOf(`ftp://${HOST}`, { allowHttp: true })).toBe('refused')
  })

  test('not to a localhost that leads elsewhere', async () => {
    const platform = await start(active(FIRST))
    const lookup = jest.spyOn(dns.promises, 'lookup').mockResolvedValue([{ address: '192.0.2.1', family: 4 }])
    const sent = jest.spyOn(globalThis, 'fetch')
    for (const host of ['localhost', 'a.localhost', 'LOCALHOST.']) {
      const error = await failureOf(platform.client().fetch('u1', 'slack', `http://${host}:1/`))
      expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' })
    }
    expect(lookup).toHaveBeenCalledTimes(3)
    expect(sent).not.toHaveBeenCalled()
  })

  describe('with `hosts`', () => {
    const hosts = { slack: [HOST, 'Other.Example:8443', 'bücher.example', '[::1]', '127.0.0.1:80'] }

    test.each([
      `https://${HOST}/a`,
      `https://${HOST}:8443/a`,
      'https://SERVICE.example/a',
      'https://other.example:8443/',
      'https://xn--bcher-kva.example',
      'http://[::1]:4010/',
      'http://127.0.0.1/',
      new Request(`https://${HOST}`),
    ])('to %s', async url => {
      expect(await refusalOf(url, { hosts })).toEqual([1, 1])
    })

    test.each([
      'https://other.example',
      'https://evil.example',
      `https://${HOST}.evil.example`,
      `https://sub.${HOST}`,
      `https://${HOST}@evil.example`,
      'http://127.0.0.1:81',
      'http://localhost',
      `http://${HOST}`,
    ])('not to %s', async url => {
      expect(await refusalOf(url, { hosts })).toBe('refused')
      expect(await refusalOf(url, { hosts, allowHttp: true })).toBe('refused')
    })

    test('nowhere for a slug that is not named, be it one that objects inherit', async () => {
      for (const slug of ['github', 'constructor', '__proto__']) {
        expect(await refusalOf(`https://${HOST}`, { hosts }, slug)).toBe('refused')
      }
    })
  })

  test.each([
    [{ hosts: [] }, 'ERR_INVALID_ARG_TYPE'],
    [{ hosts: { slack: HOST } }, 'ERR_INVALID_ARG_TYPE'],
    [{ hosts: { slack: [7] } }, 'ERR_INVALID_ARG_TYPE'],
    [{ hosts: { slack: [''] } }, 'ERR_INVALID_ARG_VALUE'],
    [{ hosts: { slack: [`https://${HOST}`] } }, 'ERR_INVALID_ARG_VALUE'],
    [{ hosts: { slack: [`${HOST}/path`] } }, 'ERR_INVALID_ARG_VALUE'],
    [{ hosts: { slack: [`*.${HOST}`] } }, 'ERR_INVALID_ARG_VALUE'],
    [{ hosts: { slack: [`user@${HOST}`] } }, 'ERR_INVALID_ARG_VALUE'],
    [{ hosts: { slack: [`${HOST}:99999`] } }, 'ERR_INVALID_ARG_VALUE'],
  ])('a client does not take %j', async (options, code) => {
    const { platform } = await startBoth()
    let thrown
    try {
      platform.client(options)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ name: 'TypeError', code })
    expect(thrown.message).toContain('options.hosts')
    expect(thrown.message).not.toContain(HOST)
  })
})
