const { Console } = require('node:console')
const { once } = require('node:events')
const { readFileSync } = require('node:fs')
const http = require('node:http')
const { Writable } = require('node:stream')
const util = require('node:util')
const vm = require('node:vm')
const { Worker } = require('node:worker_threads')

const xkit = require('..')
const {
  ACCESS_TOKEN,
  KEY_PAIR,
  PUBLISHABLE_KEY,
  SECRET_KEY,
  failureOf,
  flat,
  gate,
  html,
  json,
  startPlatform,
} = require('./support/platform')
const { expectNoSecrets, leaks } = require('./support/secrets')

const { ConnectionUnavailableError, XkitApiError, XkitClient, XkitError, XkitNetworkError, isXkitError } =
  xkit

const OWNER = 'owner-marker-5d1c'
const BODY = 'body-marker-9a7e'
const PROXY_PASSWORD = 'proxy-marker-31bf'
const SECRETS = [
  PUBLISHABLE_KEY,
  SECRET_KEY,
  KEY_PAIR,
  ACCESS_TOKEN,
  OWNER,
  BODY,
  PROXY_PASSWORD,
  'html-body-marker',
]

let platform
let refusingProxy
beforeAll(async () => {
  platform = await startPlatform()
  refusingProxy = http.createServer().on('connect', (_request, socket) => {
    socket.end(`HTTP/1.1 407 Proxy Authentication Required\r\n\r\n${BODY}`)
  })
  refusingProxy.listen(0, '127.0.0.1')
  await once(refusingProxy, 'listening')
})
afterAll(async () => {
  refusingProxy.close()
  await platform.close()
})

/** What a call rejects with when the platform answers so. */
function answered(answer, options) {
  return () => {
    platform.replyWith(answer)
    return failureOf(platform.client(options).getAccessToken(OWNER, 'slack'))
  }
}

/** What a call rejects with when the network between is so. */
function unanswered(options, step = () => undefined) {
  return () => {
    platform.replyWith(step)
    return failureOf(platform.client({ maxRetries: 0, ...options() }).getAccessToken(OWNER, 'slack'))
  }
}

/** A port of loopback on which nobody listens any more. */
async function deadPort() {
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

const withoutToken = status => json(200, flat({ authorization: { status, access_token: '', note: BODY } }))

// `requests`: what the platform sees. `hint`: what the message has to name for its reader to act on it.
const cases = [
  {
    title: 'an owner whom the platform does not know',
    provoke: answered(json(404, { error: BODY })),
    expected: { code: 'ERR_XKIT_NOT_PROVISIONED', retryable: false, attempts: 1 },
    type: 'ConnectionUnavailableError',
    requests: 1,
    hint: /not know|provision/i,
  },
  {
    title: 'a connection that is not enabled',
    provoke: answered(json(200, flat({ connection: { enabled: false } }))),
    expected: { code: 'ERR_XKIT_NOT_ENABLED', retryable: false, attempts: 1 },
    type: 'ConnectionUnavailableError',
    requests: 1,
    hint: /enable/i,
  },
  {
    title: 'an authorization under way',
    provoke: answered(withoutToken('awaiting_callback')),
    expected: { code: 'ERR_XKIT_PENDING', attempts: 1 },
    type: 'ConnectionUnavailableError',
    requests: 1,
    hint: /under way|pending|later|finish|complet/i,
  },
  {
    title: 'a broken authorization',
    provoke: answered(withoutToken('error')),
    expected: { code: 'ERR_XKIT_NEEDS_REAUTHORIZATION', retryable: false, attempts: 1 },
    type: 'ConnectionUnavailableError',
    requests: 1,
    hint: /connect/i,
  },
  {
    title: 'a 401',
    provoke: answered(json(401, { error: BODY }, { 'x-request-id': 'req-401' })),
    expected: {
      code: 'ERR_XKIT_INVALID_API_KEY',
      retryable: false,
      attempts: 1,
      status: 401,
      requestId: 'req-401',
    },
    type: 'XkitApiError',
    requests: 1,
    hint: /secret key|secretKey|XKIT_SECRET_KEY/,
  },
  {
    title: 'a 403',
    provoke: answered(json(403, { error: BODY })),
    expected: {
      code: 'ERR_XKIT_FORBIDDEN',
      retryable: false,
      attempts: 1,
      status: 403,
    },
    type: 'XkitApiError',
    requests: 1,
    hint: /key/i,
  },
  {
    title: 'a 429',
    provoke: answered(json(429, { error: BODY }, { 'retry-after': '7', 'x-request-id': 'req-429' }), {
      maxRetries: 0,
    }),
    expected: {
      code: 'ERR_XKIT_RATE_LIMITED',
      retryable: true,
      attempts: 1,
      status: 429,
      retryAfterMs: 7000,
      requestId: 'req-429',
    },
    type: 'XkitApiError',
    requests: 1,
    hint: /429|rate|too many/i,
  },
  {
    title: 'a 503, again and again',
    provoke: answered(html(503, { 'x-request-id': 'req-503' })),
    expected: {
      code: 'ERR_XKIT_SERVER',
      retryable: true,
      attempts: 3,
      status: 503,
      requestId: 'req-503',
    },
    type: 'XkitApiError',
    requests: 3,
    hint: /503/,
  },
  {
    title: 'a 501',
    provoke: answered(html(501)),
    expected: { code: 'ERR_XKIT_SERVER', retryable: false, attempts: 1, status: 501 },
    type: 'XkitApiError',
    requests: 1,
    hint: /501/,
  },
  {
    title: 'a 409, again and again',
    provoke: answered(json(409, { error: BODY })),
    expected: { code: 'ERR_XKIT_HTTP', retryable: true, attempts: 3, status: 409 },
    type: 'XkitApiError',
    requests: 3,
    hint: /409/,
  },
  {
    title: 'a 404 that is not from the platform',
    provoke: answered(html(404, { 'x-request-id': 'req-404' })),
    expected: {
      code: 'ERR_XKIT_HTTP',
      retryable: false,
      attempts: 1,
      status: 404,
      requestId: 'req-404',
    },
    type: 'XkitApiError',
    requests: 1,
    hint: /404/,
  },
  {
    title: 'a redirect',
    provoke: answered(html(301, { location: `https://elsewhere.example/${BODY}` })),
    expected: { code: 'ERR_XKIT_REDIRECT', retryable: false, attempts: 1, status: 301 },
    type: 'XkitApiError',
    requests: 1,
    hint: /baseUrl|XKIT_BASE_URL/,
  },
  {
    title: 'a page in place of an answer',
    provoke: answered(html(200, { 'x-request-id': 'req-200' })),
    expected: { code: 'ERR_XKIT_INVALID_RESPONSE', attempts: 1, status: 200, requestId: 'req-200' },
    type: 'XkitApiError',
    requests: 1,
    hint: /answer|response/i,
  },
  {
    title: 'a body over the cap',
    provoke: answered({ status: 200, body: BODY.repeat(20_000) }),
    expected: { code: 'ERR_XKIT_RESPONSE_TOO_LARGE', attempts: 1, status: 200 },
    type: 'XkitApiError',
    requests: 1,
    hint: /256|262,?144/,
  },
  {
    title: 'a platform that never answers',
    provoke: unanswered(() => ({ timeoutMs: 100 })),
    expected: { code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 },
    type: 'XkitNetworkError',
    requests: 1,
    hint: /100|timeoutMs/,
  },
  {
    title: 'a platform that hangs up, again and again',
    provoke: unanswered(
      () => ({ maxRetries: 2 }),
      (_request, response) => response.destroy() && undefined,
    ),
    expected: { code: 'ERR_XKIT_CONNECT', retryable: true, attempts: 3 },
    type: 'XkitNetworkError',
    requests: 3,
    hint: /connect/i,
  },
  {
    title: 'a port on which nobody listens',
    provoke: async () => {
      const baseUrl = `http://127.0.0.1:${await deadPort()}`
      return unanswered(() => ({ baseUrl }))()
    },
    expected: { code: 'ERR_XKIT_CONNECT', retryable: true },
    type: 'XkitNetworkError',
    requests: 0,
    hint: /connect/i,
  },
  {
    title: 'plain text on the TLS port',
    provoke: unanswered(() => ({ baseUrl: platform.baseUrl.replace('http:', 'https:') })),
    expected: { code: 'ERR_XKIT_TLS' },
    type: 'XkitNetworkError',
    requests: 0,
    hint: /TLS/,
  },
  {
    title: 'a proxy that refuses',
    provoke: unanswered(() => ({
      baseUrl: 'https://platform.example',
      proxy: `http://proxy-user:${PROXY_PASSWORD}@127.0.0.1:${refusingProxy.address().port}`,
    })),
    expected: { code: 'ERR_XKIT_PROXY' },
    type: 'XkitNetworkError',
    requests: 0,
    hint: /proxy/i,
  },
  {
    title: 'a closed client',
    provoke: async () => {
      platform.replyWith()
      const client = platform.client()
      await client.close()
      return failureOf(client.getAccessToken(OWNER, 'slack'))
    },
    expected: { code: 'ERR_XKIT_CLOSED', retryable: false, attempts: 0 },
    type: 'XkitError',
    requests: 0,
    hint: /close/i,
  },
  {
    title: 'more calls than may wait',
    provoke: async () => {
      const { open, step } = gate(json(200, flat()))
      platform.replyWith(step)
      // The first call holds the only place for as long as it takes to make all the others.
      const client = platform.client({ maxConcurrency: 1, attemptTimeoutMs: 60_000, timeoutMs: 60_000 })
      const first = client.getAccessToken(OWNER, 'slack')
      // A signal of its own for each: adding a listener to a signal takes longer the more it has.
      const ends = Array.from({ length: 25_000 }, () => new AbortController())
      // An owner of its own for each too: identical calls would share one place.
      const waiting = ends.map(({ signal }, index) =>
        failureOf(client.getAccessToken(`${OWNER}-${index}`, 'slack', { signal })),
      )
      const error = await Promise.race(waiting)
      for (const end of ends) end.abort()
      await Promise.all(waiting)
      open()
      await first
      return error
    },
    expected: { code: 'ERR_XKIT_OVERLOADED', retryable: true, attempts: 0 },
    type: 'XkitError',
    requests: 1,
    hint: /maxConcurrency|fewer/,
  },
  {
    title: 'a missing key',
    provoke: async () => {
      platform.replyWith()
      return failureOf(new XkitClient({ publishableKey: PUBLISHABLE_KEY }).getAccessToken('u1', 'slack'))
    },
    expected: { code: 'ERR_XKIT_MISSING_CREDENTIALS', retryable: false, attempts: 0 },
    type: 'XkitError',
    requests: 0,
    hint: /XKIT_SECRET_KEY/,
  },
]

describe.each(cases)('$title', ({ provoke, expected, type, requests, hint }) => {
  let error
  beforeAll(async () => {
    error = await provoke()
    // The tens of thousands of calls that overload a client take their time under load.
  })

  test(`is a ${type} with ${expected.code}`, () => {
    expect(Object.getPrototypeOf(error)).toBe(xkit[type].prototype)
    expect(error).toBeInstanceOf(XkitError)
    expect(error).toBeInstanceOf(Error)
    expect(error.name).toBe(type)
    expect(error).toMatchObject({ retryable: expect.any(Boolean), attempts: expect.any(Number), ...expected })
    for (const field of ['status', 'requestId', 'retryAfterMs']) {
      expect([field, error[field]]).toEqual([field, expected[field]])
    }
    expect(isXkitError(error)).toBe(true)
  })

  test(`has cost ${requests} requests`, () => {
    expect(platform.requests).toHaveLength(requests)
  })

  test('tells its reader what to do', () => {
    expect(error.message).toMatch(hint)
    expect(error.stack).toContain(error.message)
    expect(String(error)).toBe(`${type}: ${error.message}`)
  })

  test('holds no secret', () => {
    expectNoSecrets(error, SECRETS)
  })
})

describe('a failure', () => {
  // No call can provoke a defect from outside, so this one is made where the native side's reports become errors.
  test('inside the package is told in fixed words', () => {
    const { toError } = require('../lib/errors')
    for (const error of [
      toError(),
      toError({
        className: 'XkitError',
        code: 'ERR_XKIT_INTERNAL',
        message: 'm',
        retryable: false,
        attempts: 0,
      }),
    ]) {
      expect(error).toBeInstanceOf(XkitError)
      expect(error).toMatchObject({
        name: 'XkitError',
        code: 'ERR_XKIT_INTERNAL',
        retryable: false,
        attempts: 0,
      })
      expect(error.message).not.toBe('')
    }
  })

  test('can be caught by class', async () => {
    platform.replyWith(json(401, {}))
    const client = platform.client()

    await expect(client.getAccessToken(OWNER, 'slack')).rejects.toThrow(XkitError)
    await expect(client.getAccessToken(OWNER, 'slack')).rejects.toThrow(XkitApiError)
    await expect(client.getConnection(OWNER, 'slack')).rejects.not.toThrow(XkitNetworkError)
  })

  test('is an object of its own for each call', async () => {
    platform.replyWith(json(401, {}))
    const client = platform.client()

    const [first, second] = await Promise.all([
      failureOf(client.getAccessToken(OWNER, 'slack')),
      failureOf(client.getAccessToken(OWNER, 'slack')),
    ])

    expect(first).not.toBe(second)
    expect(first.code).toBe(second.code)
  })

  test('is known to another copy of the package', async () => {
    let copy
    jest.isolateModules(() => {
      copy = require('..')
    })
    platform.replyWith(json(401, {}))

    const error = await failureOf(platform.client().getAccessToken(OWNER, 'slack'))

    expect(copy.XkitError).not.toBe(XkitError)
    expect(copy.isXkitError(error)).toBe(true)
  })

  test.each([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'ERR_XKIT_TIMEOUT'],
    ['another error', new Error('ERR_XKIT_TIMEOUT')],
    ['an object with a code', { name: 'XkitError', code: 'ERR_XKIT_TIMEOUT' }],
    ['the class', XkitError],
  ])('is not %s', (_, value) => {
    expect(isXkitError(value)).toBe(false)
  })
})

describe('an error that came out of a worker', () => {
  /** How it arrives: by the event 'error' of the worker, or by `postMessage`. */
  async function arrived(event, failure) {
    const code = `
      const { parentPort, workerData: { options, event } } = require('node:worker_threads')
      const { XkitClient } = require(${JSON.stringify(require.resolve('..'))})
      new XkitClient(options).getAccessToken('u1', 'slack').catch(error => {
        if (event === 'message') parentPort.postMessage(error)
        else setImmediate(() => { throw error })
      })`
    platform.replyWith(failure)
    const { baseUrl } = platform
    const options = { baseUrl, publishableKey: PUBLISHABLE_KEY, secretKey: SECRET_KEY }
    const worker = new Worker(code, { eval: true, workerData: { options, event } })
    const waiting = { error: undefined, message: undefined }
    const ended = once(worker, 'exit')
    for (const name of Object.keys(waiting)) worker.once(name, value => (waiting[name] = value))
    await ended.catch(() => {})
    return waiting[event]
  }

  test.each([
    ['an outage', json(501, {}), { code: 'ERR_XKIT_SERVER', retryable: false, attempts: 1, status: 501 }],
    ['wrong keys', json(401, {}), { code: 'ERR_XKIT_INVALID_API_KEY', retryable: false, attempts: 1 }],
    ['a connection without a token', json(404, {}), { code: 'ERR_XKIT_NOT_PROVISIONED', retryable: false }],
  ])('by its event is known: %s', async (_what, answer, fields) => {
    const error = await arrived('error', answer)

    expect(error).not.toBeInstanceOf(XkitError)
    expect(error).toMatchObject(fields)
    expect(isXkitError(error)).toBe(true)
  })

  test('by postMessage has lost its code in this version of Node, and is not known', async () => {
    const error = await arrived('message', json(401, {}))

    expect(error.message).toMatch(/401/)
    expect(error.code).toBeUndefined()
    expect(isXkitError(error)).toBe(false)
  })

  const like = fields => Object.assign(new Error('m'), fields)
  const whole = { code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 }

  test('is known by its code, retryable and attempts, in whatever realm it is made', () => {
    expect(isXkitError(like(whole))).toBe(true)
    expect(isXkitError(vm.runInNewContext('Object.assign(new Error(), fields)', { fields: whole }))).toBe(
      true,
    )
  })

  test.each([
    ['a code alone', like({ code: 'ERR_XKIT_TIMEOUT' })],
    ['no number of attempts', like({ ...whole, attempts: '1' })],
    ['no attempts', like({ ...whole, attempts: undefined })],
    ['no retryable', like({ ...whole, retryable: undefined })],
    ['a retryable that is a number', like({ ...whole, retryable: 1 })],
    ['a code of nobody', like({ ...whole, code: 'ERR_XKIT_OFFLINE' })],
    ['a code of a load error', like({ ...whole, code: 'ERR_XKIT_BINARY_MISSING' })],
    ['a code of Node', like({ ...whole, code: 'ECONNREFUSED' })],
    ['no Error', { ...whole, message: 'm', stack: 's', name: 'XkitNetworkError' }],
    ['a function', Object.assign(() => {}, whole)],
    [
      'fields that throw',
      Object.defineProperty(like(whole), 'code', {
        get() {
          throw new Error('touched')
        },
      }),
    ],
  ])('is not one with %s', (_what, value) => {
    expect(isXkitError(value)).toBe(false)
  })

  test('is known by every code of the typings', () => {
    const typings = readFileSync(require.resolve('../index.d.ts'), 'utf8')
    const codes = new Set(typings.match(/(?<=\| |= )'ERR_XKIT_\w+'/g).map(code => code.slice(1, -1)))

    expect(codes.size).toBe(20)
    for (const code of codes) expect([code, isXkitError(like({ ...whole, code }))]).toEqual([code, true])
  })
})

describe('an error that is made for a test', () => {
  const made = { message: 'm', code: 'ERR_XKIT_SERVER', retryable: true, attempts: 3 }
  const unavailable = { status: 'not_enabled', connectUrl: 'https://acme.xkit.co/connectors/slack' }

  test.each([
    [
      'XkitApiError',
      () => new XkitApiError({ ...made, status: 503, requestId: 'r1', retryAfterMs: 1500 }),
      { ...made, status: 503, requestId: 'r1', retryAfterMs: 1500 },
    ],
    ['XkitApiError', () => new XkitApiError(made), made],
    [
      'XkitNetworkError',
      () => new XkitNetworkError({ ...made, code: 'ERR_XKIT_TIMEOUT' }),
      { ...made, code: 'ERR_XKIT_TIMEOUT' },
    ],
    [
      'ConnectionUnavailableError',
      () => new ConnectionUnavailableError({ message: 'm', code: 'ERR_XKIT_NOT_ENABLED' }, unavailable),
      {
        code: 'ERR_XKIT_NOT_ENABLED',
        retryable: false,
        attempts: 0,
        connection: unavailable,
        connectUrl: unavailable.connectUrl,
      },
    ],
    [
      'XkitError',
      () => new XkitError({ message: 'm', code: 'ERR_XKIT_CLOSED' }),
      { message: 'm', code: 'ERR_XKIT_CLOSED', retryable: false, attempts: 0 },
    ],
  ])('is a whole %s', (name, make, fields) => {
    const error = make()

    expect(error).toBeInstanceOf(xkit[name])
    expect(error).toBeInstanceOf(XkitError)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name, ...fields })
    expect(isXkitError(error)).toBe(true)
  })

  test('has the fields that a call rejects with, and no other', async () => {
    platform.replyWith(json(401, {}))
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })
    const real = await failureOf(client.getAccessToken(OWNER, 'slack'))
    platform.replyWith(json(404, {}))
    const gone = await failureOf(client.getAccessToken(OWNER, 'slack'))

    const { message, code, retryable, attempts, status } = real
    const copies = [
      new XkitApiError({ message, code, retryable, attempts, status }),
      new ConnectionUnavailableError({ ...gone, message: gone.message }, gone.connection),
    ]

    expect(copies.map(Object.keys)).toEqual([real, gone].map(Object.keys))
    expect(copies.map(copy => ({ ...copy }))).toEqual([real, gone].map(error => ({ ...error })))
    expect(copies[1].connection).toEqual(gone.connection)
  })

  test('takes a cause, and a string as the message of one', () => {
    const cause = new TypeError('c')

    expect(new XkitError({ ...made, cause }).cause).toBe(cause)
    expect(new XkitError({ ...made, cause: 'words' }).cause).toEqual(new Error('words'))
    expect(Object.hasOwn(new XkitError(made), 'cause')).toBe(false)
  })

  test('may be of a class that a user derives', () => {
    class QuotaError extends XkitApiError {}
    const error = new QuotaError(made)

    expect(error).toBeInstanceOf(QuotaError)
    expect(error).toBeInstanceOf(XkitApiError)
    expect(new XkitApiError(made)).not.toBeInstanceOf(QuotaError)
  })

  test.each([
    ['nothing', () => new XkitError(), 'ERR_INVALID_ARG_TYPE', /^failure must be an object/],
    ['a message alone', () => new XkitError('m'), 'ERR_INVALID_ARG_TYPE', /^failure must be an object/],
    ['no message', () => new XkitError({ code: made.code }), 'ERR_INVALID_ARG_TYPE', /failure\.message/],
    ['no code', () => new XkitError({ message: 'm' }), 'ERR_INVALID_ARG_TYPE', /failure\.code/],
    [
      'a code of nobody',
      () => new XkitError({ ...made, code: 'ERR_XKIT_OFFLINE' }),
      'ERR_INVALID_ARG_VALUE',
      /failure\.code must be one of/,
    ],
    [
      'a code of another class',
      () => new XkitNetworkError(made),
      'ERR_INVALID_ARG_VALUE',
      /failure\.code must be one of/,
    ],
    [
      'attempts as text',
      () => new XkitError({ ...made, attempts: '3' }),
      'ERR_INVALID_ARG_TYPE',
      /failure\.attempts/,
    ],
    [
      'retryable as text',
      () => new XkitError({ ...made, retryable: 'yes' }),
      'ERR_INVALID_ARG_TYPE',
      /failure\.retryable/,
    ],
    [
      'a status as text',
      () => new XkitApiError({ ...made, status: '503' }),
      'ERR_INVALID_ARG_TYPE',
      /failure\.status/,
    ],
    [
      'no connection',
      () => new ConnectionUnavailableError({ ...made, code: 'ERR_XKIT_PENDING' }),
      'ERR_INVALID_ARG_TYPE',
      /^connection must be an object/,
    ],
  ])('is refused with %s', (_what, make, code, message) => {
    let error
    try {
      make()
    } catch (thrown) {
      error = thrown
    }

    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
  })
})

describe('a token', () => {
  const activeConnection = () => {
    platform.replyWith(json(200, flat()))
    return platform.client({ catalogUrl: 'https://acme.xkit.co' }).getConnection(OWNER, 'slack')
  }

  test('is read as a property, by destructuring, and passed on by name', async () => {
    const connection = await activeConnection()
    const { accessToken } = connection

    expect(connection.accessToken).toBe(ACCESS_TOKEN)
    expect(accessToken).toBe(ACCESS_TOKEN)
    expect({ ...connection, accessToken: connection.accessToken }).toMatchObject({
      status: 'active',
      slug: 'slack',
      accessToken: ACCESS_TOKEN,
    })
  })

  test.each([
    ['spread', connection => ({ ...connection })],
    ['the rest of a destructuring', ({ status, ...rest }) => rest],
    ['Object.assign', connection => Object.assign({}, connection)],
    ['Object.entries', connection => Object.fromEntries(Object.entries(connection))],
    ['structuredClone', connection => structuredClone(connection)],
    ['JSON', connection => JSON.parse(JSON.stringify(connection))],
  ])('is not copied by %s', async (_name, copy) => {
    const copied = copy(await activeConnection())

    expect(copied).toMatchObject({ slug: 'slack', connectionId: 'con_1' })
    expect(copied.accessToken).toBeUndefined()
    expect(util.inspect(copied, { showHidden: true, getters: true })).not.toContain(ACCESS_TOKEN)
  })

  test('shows in no table of connections', async () => {
    const written = []
    const stream = new Writable({
      write: (chunk, _encoding, done) => done(written.push(String(chunk)) && null),
    })
    const connection = await activeConnection()

    new Console(stream).table([connection])
    new Console(stream).table(connection)

    expect(written.join('')).toContain('con_1')
    expect(written.join('')).not.toContain(ACCESS_TOKEN)
  })

  test.each([false, true])(
    'shows in no log that runs getters too (hidden fields shown: %s)',
    async showHidden => {
      const connection = await activeConnection()
      const options = { showHidden, getters: true, depth: Number.POSITIVE_INFINITY }

      expect(util.inspect(connection, options)).toContain('con_1')
      expect(util.inspect({ list: [connection] }, options)).toContain('con_1')
      for (const value of [connection, { list: [connection] }]) {
        expect(util.inspect(value, options)).not.toContain(ACCESS_TOKEN)
      }
    },
  )

  test('shows in no log of its connection', async () => {
    expectNoSecrets(await activeConnection(), SECRETS)
  })

  test('leaves the rest of its connection readable in a log', async () => {
    const connection = await activeConnection()

    expect(util.inspect(connection)).toMatch(/status: 'active'/)
    expect(JSON.parse(JSON.stringify(connection))).toMatchObject({ status: 'active', slug: 'slack' })
    expect(JSON.parse(JSON.stringify(connection))).not.toHaveProperty('accessToken')
  })

  test('that the platform still sends for a broken connection is nowhere in the error', async () => {
    platform.replyWith(json(200, flat({ authorization: { status: 'error' } })))

    const error = await failureOf(platform.client().getAccessToken(OWNER, 'slack'))

    expect(error.connection).toMatchObject({ status: 'needs_reauthorization', authorizationStatus: 'error' })
    expect(Object.keys(error)).not.toContain('connection')
    expectNoSecrets(error, SECRETS)
    expectNoSecrets(error.connection, SECRETS)
  })

  test('shows in no log of the client, and neither does a key', async () => {
    platform.replyWith(json(200, flat()))
    const used = platform.client()
    await used.getAccessToken(OWNER, 'slack')
    const proxied = platform.client({
      baseUrl: 'https://platform.example',
      proxy: `http://proxy-user:${PROXY_PASSWORD}@127.0.0.1:9`,
    })

    for (const value of [used, used.stats(), proxied]) expectNoSecrets(value, SECRETS)
  })
})

// The searches above are worth as much as the search.
describe('the search for secrets', () => {
  const secret = 'secret-marker-77'
  const hidden = Object.defineProperty(new Error('x'), 'hidden', { value: { deep: secret } })

  test.each([
    ['message', new Error(`it is ${secret}`)],
    ['cause', new Error('x', { cause: new Error('y', { cause: new Error(secret) }) })],
    ['property', Object.assign(new Error('x'), { deep: { list: [secret] } })],
    ['hidden property', hidden],
    ['name of a property', { [secret]: 1 }],
    ['base64 form', new Error(`Basic ${btoa(secret)}`)],
    ['symbol', { [Symbol(secret)]: 1 }],
    ['serialisation', { toJSON: () => secret }],
  ])('finds one in the %s', (_, value) => {
    expect(leaks(value, [secret])).not.toEqual([])
  })
})
