// What a proxy answers to CONNECT: which answers open the tunnel, and what is said of those that do not. A refused tunnel costs
// one CONNECT more, which reads the status and the challenge.

const net = require('node:net')
const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { PROXY_REPLY, startProxy, startServer, tokenFor } = require('./support/http-rigs')
const { KEYS, closeRigs, eventually, rejection, startRawServer } = require('./support/rigs')

const PATH = '/connections/u1/slack'
const CREDENTIALS = 'user:swordfish-71fe'
const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(() => closeRigs())

/** A platform, a proxy in front of it, and a client that is told of both. */
async function rigs(options, { credentials, ...clientOptions } = {}) {
  const platform = await startServer({ identity })
  const proxy = await startProxy({ to: platform.port, ...options })
  const client = new XkitClient({
    ...KEYS,
    baseUrl: platform.baseUrl,
    ca: authority.certificate,
    proxy: proxy.url(credentials),
    ...clientOptions,
  })
  return { platform, proxy, client }
}

const wanted = (...challenges) =>
  [
    'HTTP/1.1 407 Proxy Authentication Required',
    ...challenges.map(challenge => `Proxy-Authenticate: ${challenge}`),
    'Content-Length: 0',
    '\r\n',
  ].join('\r\n')

describe('a tunnel', () => {
  test.each(['200 OK', '200 OK\r\nContent-Length: 5', `200 OK\r\nX-Long: ${'x'.repeat(7_000)}`])(
    'is opened by %s',
    async opening => {
      const { platform, proxy, client } = await rigs({ opening })

      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

      expect(proxy.connects.count).toBe(1)
      expect(platform.requests.count).toBe(1)
    },
  )

  test.each(['201 Created', '204 No Content', '299 As You Wish'])(
    'is not opened by %s, and the failure says so',
    async opening => {
      const { platform, proxy, client } = await rigs({ opening })

      const error = await rejection(client.getAccessToken('u1', 'slack'))

      expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false, attempts: 1 })
      expect(error.message).toContain(`answered with ${opening.slice(0, 3)}, and only 200 opens a tunnel`)
      expect(proxy.connects.count).toBe(2)
      expect(platform.requests.count).toBe(0)
    },
  )

  test('is opened by an answer in pieces', async () => {
    const platform = await startServer({ identity })
    const proxy = await startRawServer({
      async onRequest(socket) {
        for (const piece of ['HT', 'TP/1.1 2', '00 Connection est', 'ablished\r\n', '\r']) {
          await new Promise(resolve => socket.write(piece, resolve))
          await new Promise(setImmediate)
        }
        const upstream = net.connect(platform.port, '127.0.0.1')
        upstream.on('error', () => socket.destroy())
        socket.removeAllListeners('data')
        socket.pipe(upstream).pipe(socket)
        // The last piece: the client now sends what the platform has to get.
        socket.write('\n')
      },
    })
    const options = { baseUrl: platform.baseUrl, ca: authority.certificate }
    const client = new XkitClient({ ...KEYS, ...options, proxy: `http://127.0.0.1:${proxy.port}` })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
  })

  test('carries many calls at once, and large answers', async () => {
    const platform = await startServer({
      identity,
      protocols: ['http/1.1'],
      handler: (_request, response, { path }) => {
        const body = { connection: { enabled: true }, padding: 'x'.repeat(100_000) }
        const authorization = { status: 'active', access_token: tokenFor(path) }
        response.end(JSON.stringify({ ...body, connector: { slug: 'slack' }, authorization }))
      },
    })
    const proxy = await startProxy({ to: platform.port })
    const client = new XkitClient({
      ...KEYS,
      baseUrl: platform.baseUrl,
      ca: authority.certificate,
      proxy: proxy.url(),
    })
    const users = Array.from({ length: 200 }, (_, index) => `u${index}`)

    const tokens = await Promise.all(users.map(user => client.getAccessToken(user, 'slack')))

    expect(tokens).toEqual(users.map(user => tokenFor(`/connections/${user}/slack`)))
    expect(platform.requests.count).toBe(200)
  })

  test('ends with the client', async () => {
    const { platform, proxy, client } = await rigs({})
    await client.getAccessToken('u1', 'slack')

    expect([proxy.sockets.size, platform.sockets.size]).toEqual([1, 1])

    await client.close()

    await eventually(() => proxy.sockets.size === 0 && platform.sockets.size === 0)
  })
})

describe('a status that is no yes is told', () => {
  test.each([
    ['403 Forbidden', 'forbids'],
    ['404 Not Found', 'did not open'],
    ['302 Found\r\nLocation: https://portal.example/', 'did not open'],
    ['501 Not Implemented', 'did not open'],
  ])('and is final: %s', async (status, words) => {
    const reply = `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`
    const { platform, proxy, client } = await rigs({ reply })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false, attempts: 1 })
    expect(error.message).toContain(`(${status.slice(0, 3)})`)
    expect(error.message).toContain(words)
    expect(error.message).toContain(platform.baseUrl)
    expect(error.message).not.toContain('portal')
    expect(proxy.connects.count).toBe(2)
    expect(platform.connections.count).toBe(0)
  })

  test.each([
    ['502', PROXY_REPLY.badGateway],
    ['503', PROXY_REPLY.unavailable],
  ])('and %s is tried again', async (status, reply) => {
    const { proxy, client } = await rigs({ reply })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: true, attempts: 3 })
    expect(error.message).toContain(`(${status})`)
    // Each request asks once more why, or goes by an answer of the last second.
    expect(proxy.connects.count).toBeGreaterThanOrEqual(3 + 1)
    expect(proxy.connects.count).toBeLessThanOrEqual(3 + 3)
  })

  test.each([
    ['502', PROXY_REPLY.badGateway],
    ['503', PROXY_REPLY.unavailable],
  ])('and a %s that passes costs no call', async (_status, reply) => {
    const { platform, proxy, client } = await rigs({ reply: [reply] })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

    expect(proxy.connects.count).toBe(3)
    expect(platform.requests.count).toBe(1)
  })

  test('and what is not HTTP is told as that, once', async () => {
    const { proxy, client } = await rigs({ reply: PROXY_REPLY.otherProtocol })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false })
    expect(error.message).toContain('not proper HTTP')
    expect(error.message).not.toContain('SSH')
    expect(proxy.connects.count).toBe(2)
  })
})

describe('a 407', () => {
  test.each([
    [
      'without credentials asks for them',
      undefined,
      ['Basic realm="proxy"'],
      /asks for a user name and a password/,
    ],
    ['without a challenge asks for them too', undefined, [], /asks for a user name and a password/],
    [
      'for given credentials says that they were refused',
      CREDENTIALS,
      ['Basic realm="x"'],
      /refused the user name/,
    ],
    [
      'where Basic is one of several says so too',
      CREDENTIALS,
      ['Negotiate', 'NTLM', 'Basic realm="x"'],
      /refused/,
    ],
    ['with NTLM alone names it', undefined, ['NTLM'], /asks for NTLM \(407\), which is not supported/],
    [
      'with NTLM alone names it, credentials or not',
      CREDENTIALS,
      ['NTLM'],
      /asks for NTLM \(407\), which is not/,
    ],
    [
      'with Negotiate and NTLM names both',
      undefined,
      ['Negotiate', 'NTLM'],
      /NTLM or Negotiate.*not supported/,
    ],
    ['with both in one line names both', undefined, ['Negotiate, NTLM'], /NTLM or Negotiate.*not supported/],
    ['with Digest names it', undefined, ['Digest realm="x", nonce="abc"'], /asks for Digest.*not supported/],
  ])('%s, and is final', async (_what, credentials, challenges, words) => {
    const options = { password: 'user:another', wanted: wanted(...challenges) }
    const { platform, proxy, client } = await rigs(options, { credentials })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false, attempts: 1 })
    expect(error.message).toMatch(words)
    expect(error.message).toContain('(407)')
    if (credentials) expect(error.message).not.toMatch(/asks for a user name/)
    expect(error.message).not.toMatch(/swordfish|realm|nonce/)
    expect(proxy.connects.count).toBe(2)
    expect(platform.connections.count).toBe(0)
  })
})

describe('a password that is not percent-encoded', () => {
  const RAW = [
    'sword@fish',
    'sword/fish',
    'sword#fish',
    'sword?fish',
    'sword%fish',
    'swordfish%',
    'sword\\fish',
  ]
  const SOURCES = [
    ['The option proxy', proxy => ({ proxy }), {}],
    ['HTTPS_PROXY', () => ({}), 'HTTPS_PROXY'],
  ]

  afterEach(() => {
    delete process.env.HTTPS_PROXY
  })

  describe.each(SOURCES)('in %s', (source, options, variable) => {
    test.each(RAW)('is told and not shown: %s', raw => {
      const url = `http://user:${raw}@127.0.0.1:3128`
      if (typeof variable === 'string') process.env[variable] = url

      const construct = () => new XkitClient({ ...KEYS, ...options(url) })

      expect(construct).toThrow(expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }))
      expect(construct).toThrow(new RegExp(`${source} holds .*not percent-encoded.*%40`))
      expect(construct).not.toThrow(/fish|127\.0\.0\.1/)
    })
  })

  test('may hold a colon, which RFC 3986 lets stand', async () => {
    const { proxy, client } = await rigs({ password: 'user:sword:fish' }, { credentials: 'user:sword:fish' })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

    expect(proxy.connects.count).toBe(1)
  })
})
