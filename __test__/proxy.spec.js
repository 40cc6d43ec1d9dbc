const { inspect } = require('node:util')
const { XkitClient, XkitNetworkError } = require('..')
const { createAuthority } = require('./support/certificates')
const { PROXY_REPLY, startProxy, startServer, tokenFor } = require('./support/http-rigs')
const rigsOfTcp = require('./support/rigs')

const { CREDENTIALS, KEYS, act, closeRigs, closedPort, rejection, settlesWithin, startRawServer } = rigsOfTcp

const PATH = '/connections/u1/slack'
const PROXY_PASSWORD = 'hunter2-9c1e'

// The rig dials the platform whatever name it is asked for, so a name that is to be reached through it need not
// resolve. One that is to be reached past it need not either where the test asserts on what the proxy saw: nothing.
const NAMES = ['acme.localhost', 'api.acme.localhost', 'notacme.localhost']
const authority = createAuthority()
const identity = authority.issue({ hosts: ['localhost', '127.0.0.1', '::1', ...NAMES] })
const ca = authority.certificate

afterEach(() => {
  for (const name of Object.keys(process.env)) if (/_proxy$/i.test(name)) delete process.env[name]
  return closeRigs()
})

/** A platform and a proxy in front of it. */
async function rigs({ proxy = {}, server = {} } = {}) {
  const platform = await startServer({ identity, ...server })
  return { platform, proxy: await startProxy({ to: platform.port, ...proxy }) }
}

function newClient(platform, { host = '127.0.0.1', ...options } = {}) {
  return new XkitClient({ ...KEYS, baseUrl: `https://${host}:${platform.port}`, ca, ...options })
}

/** Everything of an error that could reach a log. */
function printed(error) {
  const shown = inspect(error, { showHidden: true, depth: 10 })
  return [error.message, error.stack, shown, JSON.stringify(error), String(error.cause)].join('\n')
}

describe('a tunnel', () => {
  const protocols = ['h2', 'http/1.1']
  const kinds = [
    ['a plain proxy', {}],
    ['a proxy behind TLS', { identity }],
  ]
  const rows = kinds.flatMap(([what, proxy]) => protocols.map(protocol => [what, protocol, proxy]))

  test.each(rows)('through %s carries %s', async (_what, protocol, options) => {
    const { platform, proxy } = await rigs({ proxy: options, server: { protocols: [protocol] } })
    const client = newClient(platform, { proxy: proxy.url() })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

    expect(platform.handshakes.entries).toEqual([protocol])
    expect(platform.requests.entries[0].headers.authorization).toBe(`Basic ${CREDENTIALS}`)
    expect(platform.requests.entries[0].headers).not.toHaveProperty('proxy-authorization')
  })

  test.each(kinds)('through %s shows the proxy no key and no path', async (_what, options) => {
    const { platform, proxy } = await rigs({ proxy: options })

    await newClient(platform, { proxy: proxy.url() }).getAccessToken('u1', 'slack')

    expect(proxy.connects.count).toBe(1)
    expect(proxy.connects.entries[0].headers).not.toHaveProperty('authorization')
    for (const secret of [CREDENTIALS, ...Object.values(KEYS), 'connections/u1', 'u1/slack']) {
      expect(proxy.seen()).not.toContain(secret)
    }
  })

  test.each([
    ['an address', '127.0.0.1'],
    ['a name, which the proxy resolves', 'api.acme.localhost'],
  ])('asks for %s by host and port, exactly', async (_what, host) => {
    const { platform, proxy } = await rigs()

    await newClient(platform, { host, proxy: proxy.url() }).getAccessToken('u1', 'slack')

    const [{ line, headers }] = proxy.connects.entries
    expect(line).toBe(`CONNECT ${host}:${platform.port} HTTP/1.1`)
    expect(headers.host).toBe(`${host}:${platform.port}`)
  })

  test('cannot lead to an IPv6 address, and the failure says so', async () => {
    const { platform, proxy } = await rigs()

    const error = await rejection(
      newClient(platform, { host: '[::1]', proxy: proxy.url() }).getAccessToken('u1', 'slack'),
    )

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false, attempts: 1 })
    expect(error.message).toContain('IPv6')
    expect(platform.requests.count).toBe(0)
  })

  test('asks for port 443 where the base URL names none', async () => {
    const { proxy } = await rigs()
    const baseUrl = 'https://api.acme.localhost'

    await new XkitClient({ ...KEYS, ca, baseUrl, proxy: proxy.url() }).getAccessToken('u1', 'slack')

    expect(proxy.connects.entries[0].target).toBe('api.acme.localhost:443')
  })

  test('serves the next calls too', async () => {
    const { platform, proxy } = await rigs({ server: { protocols: ['http/1.1'] } })
    const client = newClient(platform, { proxy: proxy.url() })

    for (const user of ['u1', 'u2', 'u3']) await client.getAccessToken(user, 'slack')

    expect(proxy.connects.count).toBe(1)
    expect(platform.requests.count).toBe(3)
  })

  test.each(kinds)('through %s sends the password to the proxy only', async (_what, options) => {
    const { platform, proxy } = await rigs({ proxy: { ...options, password: `user:${PROXY_PASSWORD}` } })
    const client = newClient(platform, { proxy: proxy.url(`user:${PROXY_PASSWORD}`) })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

    const basic = `Basic ${Buffer.from(`user:${PROXY_PASSWORD}`).toString('base64')}`
    expect(proxy.connects.entries.map(({ headers }) => headers['proxy-authorization'])).toEqual([basic])
    expect(JSON.stringify(platform.requests.entries)).not.toContain(basic)
  })

  test.each([
    ['percent-encoded', 'us%40er:p%40ss%3Aword%2F%25', 'us@er:p@ss:word/%'],
    ['not ASCII', 'user:p%C3%A4ss', 'user:päss'],
    ['without a password', 'user', 'user:'],
    ['without a user name', ':pass', ':pass'],
  ])('understands credentials that are %s', async (_what, written, meant) => {
    const { platform, proxy } = await rigs({ proxy: { password: meant } })

    await expect(
      newClient(platform, { proxy: proxy.url(written) }).getAccessToken('u1', 'slack'),
    ).resolves.toBe(tokenFor(PATH))
  })
})

describe('the environment', () => {
  test.each(['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'])('names the proxy in %s', async name => {
    const { platform, proxy } = await rigs({ proxy: { password: `user:${PROXY_PASSWORD}` } })
    process.env[name] = proxy.url(`user:${PROXY_PASSWORD}`)

    await newClient(platform).getAccessToken('u1', 'slack')

    expect(proxy.connects.count).toBe(1)
  })

  test('may name the proxy by a host of any script and a port', () => {
    const construct = proxy => new XkitClient({ ...KEYS, proxy })

    for (const proxy of ['пример.рф:3128', 'http://пример.рф:3128', 'http://me:secret@пример.рф']) {
      expect(() => construct(proxy)).not.toThrow()
    }
  })

  test('may name the proxy by host and port alone, as it may for curl', async () => {
    const { platform, proxy } = await rigs()
    process.env.HTTPS_PROXY = `127.0.0.1:${proxy.port}`

    await newClient(platform).getAccessToken('u1', 'slack')

    expect(proxy.connects.count).toBe(1)
  })

  test('lets HTTPS_PROXY win over ALL_PROXY', async () => {
    const { platform, proxy } = await rigs()
    const general = await startProxy({ to: platform.port })
    process.env.ALL_PROXY = general.url()
    process.env.HTTPS_PROXY = proxy.url()

    await newClient(platform).getAccessToken('u1', 'slack')

    expect(proxy.connects.count).toBe(1)
    expect(general.connections.count).toBe(0)
  })

  test.each(['HTTPS_PROXY', 'ALL_PROXY'])('means none by an empty %s', async name => {
    const { platform } = await rigs()
    process.env[name] = ''

    await expect(newClient(platform).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
  })

  test.each(['HTTP_PROXY', 'http_proxy'])('means other URLs by %s', async name => {
    const { platform, proxy } = await rigs()
    process.env[name] = proxy.url()

    await newClient(platform).getAccessToken('u1', 'slack')

    expect(proxy.connections.count).toBe(0)
  })

  test('is read at construction', async () => {
    const { platform, proxy } = await rigs()
    const before = newClient(platform)
    process.env.HTTPS_PROXY = proxy.url()
    const during = newClient(platform)
    delete process.env.HTTPS_PROXY

    await before.getAccessToken('u1', 'slack')
    expect(proxy.connects.count).toBe(0)
    await during.getAccessToken('u1', 'slack')
    expect(proxy.connects.count).toBe(1)
  })

  test('gives way to `proxy: false`', async () => {
    const { platform, proxy } = await rigs()
    process.env.HTTPS_PROXY = proxy.url()

    await newClient(platform, { proxy: false }).getAccessToken('u1', 'slack')

    expect(proxy.connections.count).toBe(0)
  })

  test('gives way to another `proxy`', async () => {
    const { platform, proxy } = await rigs()
    const ambient = await startProxy({ to: platform.port })
    process.env.HTTPS_PROXY = ambient.url()

    await newClient(platform, { proxy: proxy.url() }).getAccessToken('u1', 'slack')

    expect(proxy.connects.count).toBe(1)
    expect(ambient.connections.count).toBe(0)
  })

  test.each(['*', 'localhost', '127.0.0.1'])(
    'cannot take a host off the `proxy` option by NO_PROXY=%s',
    async list => {
      const { platform, proxy } = await rigs()
      process.env.NO_PROXY = list

      await newClient(platform, { host: 'localhost', proxy: proxy.url() }).getAccessToken('u1', 'slack')

      expect(proxy.connects.count).toBe(1)
    },
  )

  test.each(['HTTPS_PROXY', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY'])(
    'is ignored for an http base: %s',
    async name => {
      const platform = await startServer()
      const proxy = await startProxy({ to: platform.port })
      process.env[name] = proxy.url()
      const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl })

      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

      expect(proxy.connections.count).toBe(0)
    },
  )
})

describe('NO_PROXY', () => {
  // PORT stands for the platform's port.
  const DIRECT = [
    ['localhost', '*'],
    ['127.0.0.1', '*'],
    ['localhost', 'localhost'],
    ['localhost', 'LocalHost'],
    ['LOCALHOST', 'localhost'],
    ['localhost', 'localhost.'],
    ['localhost', '.localhost'],
    ['localhost', 'localhost:PORT'],
    ['localhost', 'other.example,localhost'],
    ['localhost', 'localhost,other.example'],
    ['localhost', 'other.example, localhost , another.example'],
    ['localhost', 'other.example localhost'],
    ['localhost', ',,localhost,,'],
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', '127.0.0.1:PORT'],
    ['127.0.0.1', '127.0.0.1/32'],
    ['127.0.0.1', '127.0.0.0/8'],
    ['127.0.0.1', '127.1.2.3/8'],
    ['127.0.0.1', '10.0.0.0/8, 127.0.0.0/8'],
  ]

  test.each(DIRECT)('reaches %s directly by "%s"', async (host, list) => {
    const { platform, proxy } = await rigs()
    process.env.HTTPS_PROXY = proxy.url()
    process.env.NO_PROXY = list.replace('PORT', platform.port)

    await expect(newClient(platform, { host }).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))

    expect(proxy.connections.count).toBe(0)
    expect(platform.connections.count).toBe(1)
  })

  const PAST_THE_PROXY = [
    ['api.acme.localhost', 'acme.localhost'],
    ['api.acme.localhost', '.acme.localhost'],
    ['api.acme.localhost', '*.acme.localhost'],
    ['api.acme.localhost', 'localhost'],
    ['api.acme.localhost', 'ACME.localhost'],
    ['api.acme.localhost', 'acme.localhost.'],
    ['api.acme.localhost', '.acme.localhost:PORT'],
    ['API.acme.localhost', '.acme.LOCALHOST'],
    ['api.acme.localhost.', 'acme.localhost'],
    ['localhost.', 'localhost'],
    ['[::1]', '::1'],
    ['[::1]', '[::1]'],
    ['[::1]', '[::1]:PORT'],
    ['[::1]', '0:0:0:0:0:0:0:1'],
    ['[::1]', '::1/128'],
    ['[::1]', '::/64'],
    ['[::1]', '*'],
  ]

  test.each(PAST_THE_PROXY)('keeps %s off the proxy by "%s"', async (host, list) => {
    const { platform, proxy } = await rigs()
    process.env.HTTPS_PROXY = proxy.url()
    process.env.NO_PROXY = list.replace('PORT', platform.port)

    // Whether this host reaches the platform is up to the system's resolver, and is not what is asserted here.
    const client = newClient(platform, { host, maxRetries: 0, timeoutMs: 2000 })
    await Promise.allSettled([client.getAccessToken('u1', 'slack')])

    expect(proxy.connections.count).toBe(0)
  })

  const PROXIED = [
    ['localhost', ''],
    ['localhost', ' , ,'],
    ['localhost', 'other.example'],
    ['localhost', 'local'],
    ['localhost', 'host'],
    ['localhost', 'localhost:1'],
    ['localhost', 'localhost.example'],
    ['localhost', '127.0.0.1'],
    ['localhost', '127.0.0.0/8'],
    ['localhost', '*.example'],
    ['localhost', 'local*'],
    ['notacme.localhost', 'acme.localhost'],
    ['notacme.localhost', '.acme.localhost'],
    ['notacme.localhost', '*.acme.localhost'],
    ['acme.localhost', 'api.acme.localhost'],
    ['127.0.0.1', 'localhost'],
    ['127.0.0.1', '127.0.0.1:1'],
    ['127.0.0.1', '127.0.0.2'],
    ['127.0.0.1', '0.0.1'],
    ['127.0.0.1', '.0.0.1'],
    ['127.0.0.1', '10.0.0.0/8'],
    ['127.0.0.1', '127.0.0.2/32'],
    ['127.0.0.1', '127.0.0.1/33'],
    ['127.0.0.1', '127.0.0.0/x'],
    ['127.0.0.1', '::/0'],
    ['[::1]', '::2'],
    ['[::1]', '::2/128'],
    ['[::1]', '0.0.0.0/0'],
  ]

  test.each(PROXIED)('sends %s through the proxy despite "%s"', async (host, list) => {
    const { platform, proxy } = await rigs()
    process.env.HTTPS_PROXY = proxy.url()
    process.env.NO_PROXY = list

    // What comes of the tunnel is the topic of other tests.
    await Promise.allSettled([newClient(platform, { host, maxRetries: 0 }).getAccessToken('u1', 'slack')])

    expect(proxy.connects.entries.map(({ target }) => target)).toEqual([`${host}:${platform.port}`])
  })

  test('may be written in lower case', async () => {
    const { platform, proxy } = await rigs()
    process.env.https_proxy = proxy.url()
    process.env.no_proxy = 'localhost'

    await newClient(platform, { host: 'localhost' }).getAccessToken('u1', 'slack')

    expect(proxy.connections.count).toBe(0)
  })
})

describe('a proxy that fails', () => {
  const withPassword = `user:${PROXY_PASSWORD}`

  test.each([
    ['wants a password and gets none', { password: withPassword }, ''],
    ['wants another password', { password: 'user:another' }, withPassword],
    ['forbids it', { password: withPassword, reply: PROXY_REPLY.forbidden }, withPassword],
    ['cannot reach the platform', { password: withPassword, reply: PROXY_REPLY.badGateway }, withPassword],
    ['redirects', { password: withPassword, reply: PROXY_REPLY.redirect }, withPassword],
    [
      'answers in another protocol',
      { password: withPassword, reply: PROXY_REPLY.otherProtocol },
      withPassword,
    ],
    ['answers with noise', { password: withPassword, reply: PROXY_REPLY.noise }, withPassword],
  ])('because it %s is an ERR_XKIT_PROXY', async (_what, options, credentials) => {
    const { platform, proxy } = await rigs({ proxy: options })
    const client = newClient(platform, { proxy: proxy.url(credentials) })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_PROXY' })
    expect(printed(error)).not.toContain(PROXY_PASSWORD)
    expect(printed(error)).not.toContain(Buffer.from(withPassword).toString('base64'))
    expect(printed(error)).not.toContain('portal.example')
    expect(proxy.connects.count).toBeGreaterThanOrEqual(1)
    // Each of three requests may ask once more why.
    expect(proxy.connects.count).toBeLessThanOrEqual(6)
    expect(platform.connections.count).toBe(0)
  })

  test('because it wants another password is asked once, and once more for its words', async () => {
    const { platform, proxy } = await rigs({ proxy: { password: 'user:another' } })
    const client = newClient(platform, { proxy: proxy.url(withPassword) })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_PROXY', retryable: false, attempts: 1 })
    expect(proxy.connects.count).toBe(2)
    const [first, second] = proxy.connects.entries
    // reqwest adds `Accept` to each request that it does not send through a tunnel.
    expect(second).toEqual({ ...first, headers: { ...first.headers, accept: '*/*' } })
  })

  test('because nobody listens there is an ERR_XKIT_PROXY, and the platform is not asked past it', async () => {
    const { platform } = await rigs()
    const client = newClient(platform, { proxy: `http://${withPassword}@127.0.0.1:${await closedPort()}` })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_PROXY' })
    expect(printed(error)).not.toContain(PROXY_PASSWORD)
    expect(platform.connections.count).toBe(0)
  })

  test.each([
    ['closes', act.close],
    ['resets', act.reset],
  ])('because it %s the connection is an ERR_XKIT_PROXY', async (_what, onRequest) => {
    const proxy = await startRawServer({ onRequest })
    const { platform } = await rigs()
    const client = newClient(platform, { proxy: `http://${withPassword}@127.0.0.1:${proxy.port}` })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_PROXY' })
    expect(printed(error)).not.toContain(PROXY_PASSWORD)
    expect(proxy.connections.count).toBeLessThanOrEqual(3)
  })

  test('because its name cannot be found says so, in the words of the resolver', async () => {
    const { platform } = await rigs()
    // A label over 63 characters: the resolver refuses it without asking any server.
    const client = newClient(platform, { proxy: `http://${'a'.repeat(64)}.test:3128`, maxRetries: 0 })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error.code).toBe('ERR_XKIT_PROXY')
    expect(error.message).toContain('name could not be found')
    expect(error.cause.message).not.toMatch(/uncategorized|aaaa/)
    expect(error.cause.message.length).toBeGreaterThan(10)
  })

  test('because it hangs ends within the limit', async () => {
    const { platform, proxy } = await rigs({ proxy: { password: withPassword, reply: PROXY_REPLY.nothing } })
    const client = newClient(platform, { proxy: proxy.url(withPassword), timeoutMs: 400 })

    const { reason } = await settlesWithin(400 + 250, () => client.getAccessToken('u1', 'slack'))

    expect(reason).toBeInstanceOf(XkitNetworkError)
    expect(['ERR_XKIT_PROXY', 'ERR_XKIT_TIMEOUT']).toContain(reason.code)
    expect(printed(reason)).not.toContain(PROXY_PASSWORD)
    expect(proxy.connects.count).toBe(1)
  })

  test('because it hangs is left after connectTimeoutMs', async () => {
    const { platform, proxy } = await rigs({ proxy: { reply: PROXY_REPLY.nothing } })
    const client = newClient(platform, { proxy: proxy.url(), connectTimeoutMs: 200, maxRetries: 0 })

    const { reason } = await settlesWithin(200 + 250, () => client.getAccessToken('u1', 'slack'))

    expect(['ERR_XKIT_PROXY', 'ERR_XKIT_TIMEOUT']).toContain(reason.code)
  })

  test('because its certificate is not trusted gets no password', async () => {
    const stranger = createAuthority('An unknown CA').issue({ hosts: ['127.0.0.1'] })
    const { platform, proxy } = await rigs({ proxy: { identity: stranger, password: withPassword } })
    const client = newClient(platform, { proxy: proxy.url(withPassword) })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(['ERR_XKIT_PROXY', 'ERR_XKIT_TLS']).toContain(error.code)
    expect(printed(error)).not.toContain(PROXY_PASSWORD)
    expect(proxy.connections.count).toBe(1)
    expect(proxy.seen()).toBe('')
  })

  test('cannot pass off another server as the platform', async () => {
    const impostor = await startServer({
      identity: createAuthority('An unknown CA').issue({ hosts: ['127.0.0.1'] }),
    })
    const proxy = await startProxy({ to: impostor.port })

    const error = await rejection(newClient(impostor, { proxy: proxy.url() }).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TLS' })
    expect(impostor.requests.count).toBe(0)
  })
})

describe('the constructor', () => {
  const secret = `user:${PROXY_PASSWORD}@`

  test.each([
    ['of another scheme', `socks5://${secret}127.0.0.1:1080`],
    ['of another scheme', `ftp://${secret}127.0.0.1:21`],
    ['without a host', 'http://'],
    ['without a host', `http://${secret}`],
    ['with a bad port', `http://${secret}127.0.0.1:99999`],
    ['with a line break', `http://${secret}127.0.0.1:3128\r\nX-Injected: 1`],
    ['that is no URL', `gibberish ${PROXY_PASSWORD}`],
    ['that is empty', ''],
  ])('refuses a proxy %s: "%s"', (_what, proxy) => {
    const construct = () => new XkitClient({ ...KEYS, proxy })

    expect(construct).toThrow(expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }))
    expect(construct).toThrow(/\bproxy\b/)
    expect(construct).not.toThrow(new RegExp(`${PROXY_PASSWORD}|socks5|gibberish|X-Injected`))
  })

  test.each([
    ['true', true],
    ['a number', 3128],
    ['an object', {}],
    ['null', null],
  ])('refuses a proxy that is %s', (_what, proxy) => {
    expect(() => new XkitClient({ ...KEYS, proxy })).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }),
    )
  })

  test('refuses a proxy for an http base URL, which would show it the key', () => {
    const options = { ...KEYS, baseUrl: 'http://127.0.0.1:1', proxy: 'http://127.0.0.1:3128' }

    expect(() => new XkitClient(options)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }),
    )
  })

  test('takes `proxy: false` with an http base URL', async () => {
    const platform = await startServer()
    const client = new XkitClient({ ...KEYS, baseUrl: platform.baseUrl, proxy: false })

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
  })

  test('keeps the password out of what inspect shows of a client', () => {
    const client = new XkitClient({ ...KEYS, proxy: `http://${secret}127.0.0.1:3128` })

    expect(inspect(client, { showHidden: true, depth: 10 })).not.toContain(PROXY_PASSWORD)
    expect(JSON.stringify(client)).not.toContain(PROXY_PASSWORD)
  })
})
