const { once } = require('node:events')
const { gzipSync } = require('node:zlib')

const {
  ACCESS_TOKEN,
  KEY_PAIR,
  PUBLISHABLE_KEY,
  SECRET_KEY,
  SHAPES,
  failureOf,
  flat,
  html,
  json,
  nested,
  startPlatform,
} = require('./support/platform')
const { expectNoSecrets } = require('./support/secrets')

const CAP = 256 * 1024
const BODY = 'body-marker-c02d'
const OWNER = 'owner-marker-77aa'
const SECRETS = [PUBLISHABLE_KEY, SECRET_KEY, KEY_PAIR, ACCESS_TOKEN, OWNER, BODY, 'html-body-marker']

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

/** Both methods fail alike, in one request each, and tell nothing of the answer. */
async function expectFailure(answer, expected) {
  platform.replyWith(answer)
  const client = platform.client()
  for (const method of ['getConnection', 'getAccessToken']) {
    const error = await failureOf(client[method](OWNER, 'slack'))
    expect(error).toMatchObject({ name: 'XkitApiError', attempts: 1, ...expected })
    expectNoSecrets(error, SECRETS)
  }
  expect(platform.requests).toHaveLength(2)
}

const INVALID = { code: 'ERR_XKIT_INVALID_RESPONSE', status: 200 }
const TOO_LARGE = { code: 'ERR_XKIT_RESPONSE_TOO_LARGE', status: 200 }
const EITHER = { code: expect.stringMatching(/^ERR_XKIT_(INVALID_RESPONSE|RESPONSE_TOO_LARGE)$/) }

describe('a success that is no answer of the platform:', () => {
  const text = body => ({ status: 200, headers: { 'content-type': 'application/json' }, body })
  const whole = JSON.stringify(flat())

  test.each([
    ['a page', html(200)],
    ['a page that says it is JSON', text(html(200).body)],
    ['nothing', text('')],
    ['blanks', text(' \n')],
    ['null', text('null')],
    ['a boolean', text('true')],
    ['a number', text('42')],
    ['a string', text(`"${BODY}"`)],
    ['an empty list', text('[]')],
    ['a list of an answer', text(`[${whole}]`)],
    ['a list of the fields of an answer', json(200, [null, flat().connection, null, flat().authorization])],
    ['an empty object', text('{}')],
    ['an object of something else', json(200, { status: 'ok', message: BODY })],
    ['an error', json(200, { error: BODY })],
    ['an error that is an object', json(200, { error: { message: BODY } })],
    ['half of an answer', text(whole.slice(0, whole.length / 2))],
    ['an answer without its last byte', text(whole.slice(0, -1))],
    ['two answers', text(whole + whole)],
    ['an answer and garbage', text(`${whole}${BODY}`)],
    ['JavaScript', text(`callback(${whole})`)],
    ['JSON with a comment', text(`/* ${BODY} */${whole}`)],
    ['NaN in JSON', text('{"connection":{"enabled":NaN}}')],
    ['a form', text(`connection=${BODY}&enabled=true`)],
    ['bytes that are no UTF-8', text(Buffer.from(whole.replace(ACCESS_TOKEN, '\xff\xfe'), 'latin1'))],
    ['an overlong form of UTF-8', text(Buffer.from(whole.replace(ACCESS_TOKEN, 'x\xc0\xafx'), 'latin1'))],
    ['UTF-16', text(Buffer.from(whole, 'utf16le'))],
    ['binary', text(Buffer.from(Array.from({ length: 256 }, (_, i) => i)))],
    ['lists 100,000 deep', text('['.repeat(100_000) + ']'.repeat(100_000))],
    ['lists 250,000 deep that never close', text('['.repeat(250_000))],
    ['objects 18,000 deep', text('{"connection":'.repeat(18_000))],
    ['a number of 100,000 digits', text(`{"connection":${'9'.repeat(100_000)}}`)],
  ])('%s', async (_, answer) => {
    await expectFailure(answer, INVALID)
  })

  test.each([
    ['connection', null],
    ['connection', []],
    ['connection', BODY],
    ['connection', 5],
    ['connection', {}],
    ['connection', { enabled: null }],
    ['connection', { enabled: 'true' }],
    ['connection', { enabled: 1 }],
    ['connection', { enabled: [] }],
    ['authorization', BODY],
    ['authorization', 5],
    ['connection', [false, 17, null, null]],
    ['authorization', [{ status: 'active', access_token: BODY }]],
    ['authorization', ['active', BODY, null, null]],
    ['authorization', { status: 5, access_token: BODY }],
    ['authorization', { status: { active: true }, access_token: BODY }],
    ['authorization', { status: ['active'], access_token: BODY }],
  ])('a `%s` of the wrong kind: %j', async (field, value) => {
    await expectFailure(json(200, { ...flat(), [field]: value }), INVALID)
  })

  test.each([BODY, 5, [{ status: 'active', access_token: BODY }], { status: 5, access_token: BODY }])(
    'a nested authorization of the wrong kind: %j',
    async authorization => {
      await expectFailure(json(200, { connection: { ...nested().connection, authorization } }), INVALID)
    },
  )

  test('204, which has no body', async () => {
    await expectFailure({ status: 204 }, { ...INVALID, status: 204 })
  })

  test('and the next call on the same client is none the worse for it', async () => {
    platform.replyWith(text('['.repeat(200_000)), json(200, flat()))
    const client = platform.client()

    await failureOf(client.getAccessToken(OWNER, 'slack'))

    await expect(client.getAccessToken(OWNER, 'slack')).resolves.toBe(ACCESS_TOKEN)
  })
})

describe.each(SHAPES)('an active connection in the %s shape', (_, shape) => {
  const unusable = [
    undefined,
    null,
    '',
    ' ',
    ' \t\n',
    `${BODY}\n`,
    `${BODY}\r\nX-Header: 1`,
    `${BODY}\u0000`,
    `\u001b${BODY}`,
    `${BODY}\u007f`,
    5,
    true,
    {},
    [BODY],
  ]

  test.each(['access_token', 'credential', 'access_credential'])(
    'with an unusable `%s` is no answer',
    async field => {
      for (const value of unusable) {
        const authorization = { access_token: undefined, [field]: value }
        await expectFailure(json(200, shape({ authorization })), INVALID)
      }
    },
  )

  test('without a status, or without an authorization, is no answer', async () => {
    for (const authorization of [undefined, null, { status: undefined }, { status: null }]) {
      await expectFailure(json(200, shape({ authorization })), INVALID)
    }
  })

  test('with an unusable expiry, id or label still has its token, or is no answer', async () => {
    for (const value of [{}, [], true, -1, 1e308, '\u0000']) {
      for (const field of ['expires_at', 'expires_in', 'id', 'display_label', 'error_code']) {
        platform.replyWith(json(200, shape({ authorization: { [field]: value } })))
        const outcome = await platform
          .client()
          .getConnection(OWNER, 'slack')
          .catch(error => error)
        expect([ACCESS_TOKEN, INVALID.code]).toContain(outcome.accessToken ?? outcome.code)
        expect(outcome.expiresAt?.getTime()).not.toBeNaN()
      }
    }
  })
})

describe('a body', () => {
  const filled = size => {
    const body = JSON.stringify(flat())
    return body + ' '.repeat(size - body.length)
  }
  const announced = body => ({ status: 200, headers: { 'content-length': body.length }, body })
  const chunked = body => (_request, response) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' })
    for (let at = 0; at < body.length; at += 16_000) response.write(body.slice(at, at + 16_000))
    response.end()
  }

  test.each([
    ['announced', announced],
    ['in chunks', chunked],
  ])('%s may have 256 KiB and not a byte more', async (_, send) => {
    platform.replyWith(send(filled(CAP)))
    await expect(platform.client().getAccessToken(OWNER, 'slack')).resolves.toBe(ACCESS_TOKEN)

    await expectFailure(send(filled(CAP + 1)), TOO_LARGE)
  })

  test('is refused by its announced length, without waiting for it', async () => {
    const ends = []
    await expectFailure((_request, response) => {
      ends.push(once(response, 'close'))
      response.writeHead(200, { 'content-length': 10 ** 12 })
      response.write(BODY)
    }, TOO_LARGE)

    // The client hangs up: nobody has to send the rest.
    await Promise.all(ends)
  })

  test.each([
    ['in large chunks', `{"x":"${BODY}"}`.repeat(3000)],
    ['of blanks', ' '.repeat(65_536)],
  ])('without an end, %s, is cut off', async (_, chunk) => {
    let sent = 0
    const ends = []
    await expectFailure((_request, response) => {
      ends.push(once(response, 'close'))
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed) {
          sent += chunk.length
          if (!response.write(chunk)) return
        }
      }
      response.on('drain', more)
      more()
    }, TOO_LARGE)

    await Promise.all(ends)
    // What is over the cap sits in the buffers of the two sockets, not in the client.
    expect(sent).toBeLessThan(2 * 16 * 1024 * 1024)
  })

  /** A page that goes on for as long as somebody reads it. */
  const endless = (status, headers) => (_request, response) => {
    response.writeHead(status, headers)
    const more = () => {
      while (!response.destroyed && response.write(BODY.repeat(1000)));
    }
    response.on('drain', more)
    more()
  }
  const large = (status, headers) => ({ status, headers, body: BODY.repeat(100_000) })
  const stalled = (status, headers) => (_request, response) => {
    response.writeHead(status, { ...headers, 'content-length': 1000 })
    response.write(BODY)
  }
  const SIZES = [
    ['over the cap', large],
    ['without an end', endless],
    ['that stalls', stalled],
  ]

  describe.each(SIZES)('%s', (_what, page) => {
    test.each([
      [302, 'ERR_XKIT_REDIRECT'],
      [401, 'ERR_XKIT_INVALID_API_KEY'],
      [403, 'ERR_XKIT_FORBIDDEN'],
      [418, 'ERR_XKIT_HTTP'],
      [501, 'ERR_XKIT_SERVER'],
    ])('leaves %d what it is: %s', async (status, code) => {
      await expectFailure(page(status, { location: 'https://p.test/' }), { code, status })
    })

    test.each([
      [429, 'ERR_XKIT_RATE_LIMITED'],
      [503, 'ERR_XKIT_SERVER'],
    ])('leaves %d its Retry-After: %s', async (status, code) => {
      await expectFailure(page(status, { 'retry-after': '60' }), { code, status, retryAfterMs: 60_000 })
    })

    test('leaves a 503 to be tried again', async () => {
      platform.replyWith(page(503, { 'retry-after': '0' }), json(200, flat()))

      await expect(platform.client().getAccessToken(OWNER, 'slack')).resolves.toBe(ACCESS_TOKEN)

      expect(platform.requests).toHaveLength(2)
    })
  })

  test.each(SIZES.slice(0, 2))('%s makes a 404 none of the platform', async (_what, page) => {
    await expectFailure(page(404), { code: 'ERR_XKIT_HTTP', status: 404 })
  })

  test('that is compressed is not unpacked', async () => {
    const compressed = body => ({
      status: 200,
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: gzipSync(body),
    })

    await expectFailure(compressed(JSON.stringify(flat())), INVALID)
    await expectFailure(compressed(Buffer.alloc(32 * 1024 * 1024)), EITHER)
    expect(platform.requests.map(({ headers }) => headers['accept-encoding'])).toEqual([
      'identity',
      'identity',
    ])
  })
})

describe('headers', () => {
  test('that are too many are too large an answer', async () => {
    const headers = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x-header-${i}`, BODY]))

    // No status: a parser that gives up among the headers has none to tell.
    await expectFailure(json(200, flat(), headers), { code: TOO_LARGE.code })
  })

  test('over 100 are refused in words that have the number', async () => {
    const headers = count =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-header-${i}`, 'x']))

    platform.replyWith(json(200, flat(), headers(100)))
    const error = await failureOf(platform.client().getAccessToken('u1', 'slack'))
    expect(error.code).toBe(TOO_LARGE.code)
    expect(error.message).toContain('more than 100 headers')

    platform.replyWith(json(200, flat(), headers(90)))
    await expect(platform.client().getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test('that are too long are no answer', async () => {
    await expectFailure(json(200, flat(), { 'x-header': BODY.repeat(100_000) }), EITHER)
  })

  test('that are unusual change nothing', async () => {
    platform.replyWith(json(200, flat(), { 'content-type': 'text/plain', server: 'x', 'x-empty': '' }))

    await expect(platform.client().getAccessToken(OWNER, 'slack')).resolves.toBe(ACCESS_TOKEN)
  })
})

describe('a redirect', () => {
  let elsewhere
  beforeAll(async () => {
    elsewhere = await startPlatform(json(200, flat()))
  })
  afterAll(() => elsewhere.close())

  test.each([300, 301, 302, 303, 304, 305, 307, 308, 399])('%d is not followed', async status => {
    const location = `${elsewhere.origin}/${BODY}`

    await expectFailure(json(status, flat(), { location }), {
      code: 'ERR_XKIT_REDIRECT',
      status,
      retryable: false,
    })

    expect(elsewhere.requests).toHaveLength(0)
  })

  test.each([
    ['to another path', { location: `/${BODY}` }],
    ['to the same path', { location: '' }],
    ['to nowhere', {}],
    ['to garbage', { location: `http://[${BODY}` }],
    ['to another scheme', { location: `file:///${BODY}` }],
    ['to many places', { location: [`/${BODY}`, '/b'] }],
    ['after a while', { location: `/${BODY}`, 'retry-after': '0' }],
  ])('%s is not followed', async (_, headers) => {
    await expectFailure(json(302, flat(), headers), { code: 'ERR_XKIT_REDIRECT', status: 302 })
  })
})

describe('what is not even HTTP', () => {
  test.each([
    ['garbage after the status line', `HTTP/1.1 200 OK\r\n\0${BODY}\r\n\r\n{}`],
    ['a header without a name', `HTTP/1.1 200 OK\r\n: ${BODY}\r\n\r\n`],
    ['a header without an end', `HTTP/1.1 200 OK\r\nx-header: ${BODY}`],
    ['a length that is none', `HTTP/1.1 200 OK\r\ncontent-length: ${BODY}\r\n\r\n{}`],
    ['two lengths', `HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 22\r\n\r\n{}${BODY}`],
    ['a chunk that is none', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${BODY}\r\n`],
    ['a status of two digits', `HTTP/1.1 20 ${BODY}\r\n\r\n`],
    ['a status of letters', `HTTP/1.1 OK ${BODY}\r\n\r\n`],
    ['another protocol', `SSH-2.0-${BODY}\r\n`],
    ['another version of the protocol', `HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}`],
    ['an upgrade that nobody asked for', `HTTP/1.1 101 Switching Protocols\r\nupgrade: ${BODY}\r\n\r\n`],
  ])('%s is no token and no state', async (_, bytes) => {
    platform.replyWith((_request, response) => {
      response.socket.end(bytes, 'latin1')
    })
    const client = platform.client({ maxRetries: 1 })

    const error = await failureOf(client.getAccessToken(OWNER, 'slack'))

    // Whether bytes that break the protocol are a bad answer or a bad connection is for the transport to say.
    expect(error.code).toMatch(/^ERR_XKIT_(INVALID_RESPONSE|CONNECT|HTTP)$/)
    expect(platform.requests).toHaveLength(error.attempts)
    expect(error.attempts).toBeLessThanOrEqual(2)
    expectNoSecrets(error, SECRETS)
  })
})
