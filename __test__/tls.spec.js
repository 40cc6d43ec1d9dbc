const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { XkitClient, XkitNetworkError } = require('..')
const { createAuthority, newKeys, selfSigned } = require('./support/certificates')
const { startServer, tokenFor } = require('./support/http-rigs')
const { KEYS, act, closeRigs, rejection, startChild, startRawServer } = require('./support/rigs')

const DAY = 24 * 60 * 60 * 1000
const HOSTS = ['localhost', '127.0.0.1']
const PATH = '/connections/u1/slack'

const authority = createAuthority()
const identity = authority.issue({ hosts: HOSTS })
let folder
let authorityFile

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-tls-'))
  authorityFile = path.join(folder, 'authority.pem')
  writeFileSync(authorityFile, authority.certificate)
})
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => {
  delete process.env.NODE_EXTRA_CA_CERTS
  return closeRigs()
})

function newClient(server, options) {
  return new XkitClient({ ...KEYS, baseUrl: server.baseUrl, ...options })
}

describe('a private CA', () => {
  const other = createAuthority('Another private CA').certificate

  test.each([
    ['a string', authority.certificate],
    ['a Buffer', Buffer.from(authority.certificate)],
    ['a Uint8Array', new Uint8Array(Buffer.from(authority.certificate))],
    ['an array of strings', [other, authority.certificate]],
    ['an array of mixed kinds', [Buffer.from(other), authority.certificate]],
    ['a bundle of several certificates', other + authority.certificate],
    ['a bundle with text around the certificates', `# Ours\n${authority.certificate}\n# the end\n`],
    ['PEM with CRLF line ends', authority.certificate.replaceAll('\n', '\r\n')],
  ])('is trusted when `ca` is %s', async (_kind, ca) => {
    const server = await startServer({ identity })

    await expect(newClient(server, { ca }).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    expect(server.requests.count).toBe(1)
  })

  test.each([
    ['a name', 'localhost'],
    ['an address', '127.0.0.1'],
  ])('works for %s', async (_kind, host) => {
    const server = await startServer({ identity })
    const baseUrl = `https://${host}:${server.port}`

    await expect(
      newClient(server, { baseUrl, ca: authority.certificate }).getAccessToken('u1', 'slack'),
    ).resolves.toBe(tokenFor(PATH))
  })

  test.each([
    ['garbage', 'garbage-in-ca'],
    ['empty', ''],
    ['an empty Buffer', Buffer.alloc(0)],
    ['an array with garbage in it', [authority.certificate, 'garbage-in-ca']],
    ['PEM of something else', identity.key],
    ['PEM whose base64 is broken', authority.certificate.replace(/\n.{8}/, '\n!!!!!!!!')],
    ['PEM around bytes that are no certificate', pemAround('garbage-in-ca')],
    ['cut off', authority.certificate.slice(0, 200)],
  ])('throws from the constructor when `ca` is %s', (_kind, ca) => {
    const construct = () => new XkitClient({ ...KEYS, ca })

    expect(construct).toThrow(expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }))
    expect(construct).toThrow(/\bca\b/)
    expect(construct).not.toThrow(/garbage-in-ca|MII/)
  })

  function pemAround(text) {
    return `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----\n`
  }
})

describe('NODE_EXTRA_CA_CERTS', () => {
  // Node reads the variable once, at its start: only a process of its own can show what a user gets.
  async function callAndFetch({ root, keys, baseUrl }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl })
    const ours = await client.getAccessToken('u1', 'slack').catch(error => error.code)
    const theirs = await fetch(`${baseUrl}/connections/u1/slack`).then(
      () => 'fetched',
      () => 'failed',
    )
    console.log(`${ours} ${theirs}`)
  }

  test.each([
    ['is trusted, as fetch does', () => authorityFile, `${tokenFor(PATH)} fetched`],
    ['that is missing changes nothing, as for fetch', () => `${authorityFile}.not`, 'ERR_XKIT_TLS failed'],
  ])('a file named when Node starts %s', async (_what, file, printed) => {
    const server = await startServer({ identity })
    const env = { NODE_EXTRA_CA_CERTS: file() }

    const { code, stdout } = await startChild(callAndFetch, { baseUrl: server.baseUrl }, { env }).ended

    expect({ code, stdout }).toEqual({ code: 0, stdout: `${printed}\n` })
  })

  test.each([
    ['after a byte order mark', pem => `\u{feff}${pem}`],
    ['under its old label', pem => pem.replaceAll(' CERTIFICATE-', ' X509 CERTIFICATE-')],
    ['with a word before it', pem => `The authority of the company\n${pem}`],
  ])('a certificate %s is trusted, as fetch does, and as `ca` too', async (_what, write) => {
    const server = await startServer({ identity })
    const pem = write(readFileSync(authorityFile, 'utf8'))
    const file = path.join(folder, 'form.pem')
    writeFileSync(file, pem)

    const env = { NODE_EXTRA_CA_CERTS: file }
    const { stdout } = await startChild(callAndFetch, { baseUrl: server.baseUrl }, { env }).ended

    expect(stdout).toBe(`${tokenFor(PATH)} fetched\n`)
    for (const ca of [pem, Buffer.from(pem)]) {
      await expect(newClient(server, { ca }).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    }
  })

  test('a relative path is one from where the process started', async () => {
    const server = await startServer({ identity })
    async function callFromElsewhere({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      process.chdir('/')
      console.log(await new XkitClient({ ...keys, baseUrl }).getAccessToken('u1', 'slack'))
    }
    const env = { NODE_EXTRA_CA_CERTS: path.relative(process.cwd(), authorityFile) }

    const { stdout } = await startChild(callFromElsewhere, { baseUrl: server.baseUrl }, { env }).ended

    expect(stdout).toBe(`${tokenFor(PATH)}\n`)
  })

  test('a file named before the construction is trusted', async () => {
    const server = await startServer({ identity })
    process.env.NODE_EXTRA_CA_CERTS = authorityFile

    await expect(newClient(server).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
  })

  test('is trusted besides `ca`, not in its place', async () => {
    const another = createAuthority('Another private CA')
    const one = await startServer({ identity })
    const two = await startServer({ identity: another.issue({ hosts: HOSTS }) })
    process.env.NODE_EXTRA_CA_CERTS = authorityFile

    for (const server of [one, two]) {
      const client = newClient(server, { ca: another.certificate })
      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    }
  })
})

describe('--use-openssl-ca', () => {
  async function call({ root, keys, baseUrl }) {
    const { XkitClient } = require(root)
    const call = new XkitClient({ ...keys, baseUrl }).getAccessToken('u1', 'slack')
    console.log(await call.catch(error => error.code))
  }

  test.each([
    ['the file of SSL_CERT_FILE', () => ({ SSL_CERT_FILE: authorityFile })],
    ['the files in SSL_CERT_DIR', () => ({ SSL_CERT_DIR: folder })],
  ])('has %s trusted', async (_what, variables) => {
    const server = await startServer({ identity })
    const env = { NODE_OPTIONS: '--use-openssl-ca', ...variables() }

    expect((await startChild(call, { baseUrl: server.baseUrl }, { env }).ended).stdout).toBe(
      `${tokenFor(PATH)}\n`,
    )
  })

  test('by itself leaves a stranger a stranger', async () => {
    const server = await startServer({ identity })
    const env = { NODE_OPTIONS: '--use-openssl-ca' }

    expect((await startChild(call, { baseUrl: server.baseUrl }, { env }).ended).stdout).toBe('ERR_XKIT_TLS\n')
  })
})

describe('the protocol', () => {
  test.each([
    ['HTTP/2 where the server offers both', ['h2', 'http/1.1'], 'h2', '2.0'],
    ['HTTP/2 where the server offers nothing else', ['h2'], 'h2', '2.0'],
    ['HTTP/1.1 where the server offers nothing else', ['http/1.1'], 'http/1.1', '1.1'],
  ])('is %s', async (_what, protocols, negotiated, httpVersion) => {
    const server = await startServer({ identity, protocols })
    const client = newClient(server, { ca: authority.certificate })

    for (const user of ['u1', 'u2', 'u3']) await client.getAccessToken(user, 'slack')

    expect(server.handshakes.entries).toEqual([negotiated])
    expect(server.requests.entries.map(request => request.httpVersion)).toEqual(Array(3).fill(httpVersion))
  })

  test.each(['TLSv1.2', 'TLSv1.3'])('may be %s', async version => {
    const server = await startServer({ identity, minVersion: version, maxVersion: version })

    await expect(
      newClient(server, { ca: authority.certificate }).getAccessToken('u1', 'slack'),
    ).resolves.toBe(tokenFor(PATH))
  })
})

describe('a server that cannot prove who it is', () => {
  const past = { notBefore: new Date(Date.now() - 30 * DAY), notAfter: new Date(Date.now() - DAY) }
  const future = { notBefore: new Date(Date.now() + DAY), notAfter: new Date(Date.now() + 30 * DAY) }
  const stranger = createAuthority('An unknown CA')
  const oldTls = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }

  const CASES = [
    ['an expired certificate', authority.issue({ hosts: HOSTS, ...past }), {}, /expired/i],
    [
      'a certificate not yet valid',
      authority.issue({ hosts: HOSTS, ...future }),
      {},
      /not (yet valid|valid yet)/i,
    ],
    ['a certificate for another name', authority.issue({ hosts: ['other.example'] }), {}, /\bhost\b/i],
    ['a certificate for another address', authority.issue({ hosts: ['127.0.0.2'] }), {}, /\bhost\b/i],
    ['an issuer that nobody knows', stranger.issue({ hosts: HOSTS }), {}, /issuer|not trusted|untrusted/i],
    ['a self-signed certificate', selfSigned({ hosts: HOSTS, ca: false }), {}, /issuer|self-signed|trusted/i],
    [
      'a self-signed CA certificate',
      selfSigned({ hosts: HOSTS, ca: true }),
      {},
      /issuer|self-signed|trusted/i,
    ],
    ['nothing newer than TLS 1.1', identity, oldTls, /\bTLS\b.*\b(version|1\.2)|\bversion\b/i],
  ]

  const protocolLists = [['h2', 'http/1.1'], ['http/1.1']]
  const rows = CASES.flatMap(row => protocolLists.map(protocols => [row[0], protocols, ...row.slice(1)]))

  test.each(rows)(
    'with %s (%j) gets one handshake and no byte of HTTP',
    async (_what, protocols, its, tls, words) => {
      const server = await startServer({ identity: its, protocols, ...tls })
      const client = newClient(server, { ca: authority.certificate })

      const error = await rejection(client.getAccessToken('u1', 'slack'))

      expect(error).toBeInstanceOf(XkitNetworkError)
      expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TLS', retryable: false })
      expect(error.message).toMatch(words)
      expect(server.connections.count).toBe(1)
      expect(server.handshakes.count).toBe(0)
      expect(server.requests.count).toBe(0)
    },
  )

  test('is told apart in the message: each fault has words of its own', async () => {
    const messages = []
    for (const [, its, tls] of CASES.filter(([what]) => !/CA certificate|address/.test(what))) {
      const server = await startServer({ identity: its, protocols: ['http/1.1'], ...tls })
      const client = newClient(server, { ca: authority.certificate })
      const { message } = await rejection(client.getAccessToken('u1', 'slack'))
      messages.push(message.replaceAll(String(server.port), 'PORT'))
    }

    // A self-signed certificate is one of an unknown issuer: those two may read the same.
    expect(new Set(messages).size).toBeGreaterThanOrEqual(messages.length - 1)
  })

  test.each([
    ['answers in plain HTTP', act.send('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')],
    ['answers in another protocol', act.send('SSH-2.0-Server\r\n')],
  ])('because its TLS port %s gets one handshake and no byte of HTTP', async (_what, onData) => {
    const server = await startRawServer({ onConnection: socket => socket.once('data', () => onData(socket)) })
    const client = new XkitClient({ ...KEYS, baseUrl: `https://127.0.0.1:${server.port}` })

    const error = await rejection(client.getAccessToken('u1', 'slack'))

    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false })
    expect(error.message).toMatch(/\bTLS\b/)
    expect(server.connections.count).toBe(1)
    expect(server.received().toString('latin1')).not.toMatch(/GET|PRI|connections/)
  })

  test.each([
    ['RSA key exchange', 'AES128-GCM-SHA256'],
    ['CBC', 'ECDHE-ECDSA-AES128-SHA256'],
  ])('because the server offers %s alone says which are supported', async (_what, ciphers) => {
    const rsa = authority.issue({ hosts: HOSTS, keys: newKeys('rsa', { modulusLength: 2048 }) })
    const its = ciphers.startsWith('ECDHE') ? identity : rsa
    const server = await startServer({ identity: its, maxVersion: 'TLSv1.2', ciphers })
    const client = newClient(server, { ca: authority.certificate })

    const { code, message } = await rejection(client.getAccessToken('u1', 'slack'))

    expect(code).toBe('ERR_XKIT_TLS')
    expect(message).toMatch(
      /ECDHE and AES-GCM or ChaCha20-Poly1305; RSA key exchange, DHE and CBC are not supported/,
    )
  })

  test('is refused with NODE_TLS_REJECT_UNAUTHORIZED=0 too', async () => {
    const server = await startServer({ identity: stranger.issue({ hosts: HOSTS }) })
    async function callAndFetch({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const ours = new XkitClient({ ...keys, baseUrl }).getAccessToken('u1', 'slack')
      const code = await ours.catch(error => error.code)
      // The control: with this variable Node's own client does talk to the server.
      const { status } = await fetch(`${baseUrl}/control`)
      console.log(`${code} ${status}`)
    }
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }

    const { stdout } = await startChild(callAndFetch, { baseUrl: server.baseUrl }, { env }).ended

    expect(stdout).toBe('ERR_XKIT_TLS 200\n')
    expect(server.requests.entries.map(request => request.path)).toEqual(['/control'])
  })
})

describe.each([
  ['with CA:TRUE', true],
  ['with CA:FALSE', false],
])('a self-signed certificate %s', (_what, ca) => {
  test('works when it is itself the `ca`, as with node:https', async () => {
    const its = selfSigned({ hosts: HOSTS, ca })
    const server = await startServer({ identity: its })

    await expect(newClient(server, { ca: its.cert }).getAccessToken('u1', 'slack')).resolves.toBe(
      tokenFor(PATH),
    )
  })

  test('works likewise when it says that it is for servers', async () => {
    const its = selfSigned({ hosts: HOSTS, ca, purpose: 'serverAuth' })
    const server = await startServer({ identity: its })

    await expect(newClient(server, { ca: its.cert }).getAccessToken('u1', 'slack')).resolves.toBe(
      tokenFor(PATH),
    )
  })

  test.each([
    [
      'has expired',
      { notBefore: new Date(Date.now() - 30 * DAY), notAfter: new Date(Date.now() - DAY) },
      /expired/i,
    ],
    ['is for another host', { hosts: ['other.example'] }, /\bhost\b/i],
    ['is for clients only', { purpose: 'clientAuth' }, /not for servers/],
  ])('is refused even as the `ca` when it %s', async (_fault, fault, words) => {
    const its = selfSigned({ hosts: HOSTS, ca, ...fault })
    const server = await startServer({ identity: its })

    const error = await rejection(newClient(server, { ca: its.cert }).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TLS' })
    expect(error.message).toMatch(words)
    expect(server.requests.count).toBe(0)
  })

  test('does not vouch for another certificate of the same name', async () => {
    const trusted = selfSigned({ hosts: HOSTS, ca })
    const server = await startServer({ identity: selfSigned({ hosts: HOSTS, ca }) })

    const error = await rejection(newClient(server, { ca: trusted.cert }).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ name: 'XkitNetworkError', code: 'ERR_XKIT_TLS' })
    expect(server.requests.count).toBe(0)
  })
})
