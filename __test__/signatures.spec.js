// Owns which signatures are verified: those of authorities and of handshakes, of the kinds that Node takes and that need more
// than the usual curves and digests. Node's own client meets the same server with the same authority in the same test.

const https = require('node:https')
const { XkitClient } = require('..')
const { createAuthority, newKeys } = require('./support/certificates')
const { startServer, tokenFor } = require('./support/http-rigs')
const { startRedis } = require('./support/redis-rigs')
const { KEYS, closeRigs, rejection } = require('./support/rigs')
const { testsWith } = require('./support/tools')

const withRedis = testsWith('redis-server')

const HOSTS = ['localhost', '127.0.0.1']
const PATH = '/connections/u1/slack'
const [ACCEPTS, REFUSES] = ['accepts', 'refuses']
const WRONG = /^.*a signature of the server's certificate, of one above it or of the handshake is wrong, or/

const on = namedCurve => newKeys('ec', { namedCurve })

afterEach(closeRigs)

function verdictOfNode({ port }, ca) {
  return new Promise(resolve => {
    const at = { host: 'localhost', family: 4, port, ca, agent: false, path: PATH }
    https.get(at, response => resolve(response.resume() && ACCEPTS)).on('error', () => resolve(REFUSES))
  })
}

function newClient({ port }, ca, options) {
  return new XkitClient({ ...KEYS, baseUrl: `https://localhost:${port}`, ca, ...options })
}

function serve(identity, options) {
  return startServer({ identity, protocols: ['http/1.1'], ...options })
}

const SIGNED = [
  ['P-521', 'sha256'],
  ['P-521', 'sha384'],
  ['P-521', 'sha512'],
  ['P-384', 'sha512'],
  ['P-256', 'sha512'],
]

describe.each(SIGNED)('an authority on %s that signs with %s', (curve, digest) => {
  const authority = createAuthority('A CA of TLS inspection', { keys: on(curve), digest })
  const ca = authority.certificate

  test.each(['TLSv1.2', 'TLSv1.3'])('is verified as by Node, over %s', async maxVersion => {
    const server = await serve(authority.issue({ hosts: HOSTS, digest }), { maxVersion })

    await expect(newClient(server, ca).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    expect(server.requests.count).toBe(1)
    expect(await verdictOfNode(server, ca)).toBe(ACCEPTS)
  })

  test('is verified above an intermediate one', async () => {
    const below = authority.authority('One below', { keys: on(curve), digest })
    const { cert, key } = below.issue({ hosts: HOSTS, digest })
    const server = await serve({ cert: cert + below.certificate, key })

    await expect(newClient(server, ca).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    expect(await verdictOfNode(server, ca)).toBe(ACCEPTS)
  })

  test('is not taken for another one of its name', async () => {
    const other = createAuthority('A CA of TLS inspection', { keys: on(curve), digest })
    const server = await serve(other.issue({ hosts: HOSTS, digest }))

    const error = await rejection(newClient(server, ca).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false, attempts: 1 })
    expect(error.message).toMatch(WRONG)
    expect(server.requests.count).toBe(0)
    expect(await verdictOfNode(server, ca)).toBe(REFUSES)
  })

  test('did not sign what was changed', async () => {
    const server = await serve(authority.issue({ hosts: HOSTS, digest, isTampered: true }))

    const error = await rejection(newClient(server, ca).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false, attempts: 1 })
    expect(error.message).toMatch(WRONG)
    expect(server.requests.count).toBe(0)
    expect(await verdictOfNode(server, ca)).toBe(REFUSES)
  })
})

describe('a handshake', () => {
  const authority = createAuthority()
  const ca = authority.certificate

  test('by a key on P-521 is verified over TLS 1.3, as by Node', async () => {
    const server = await serve(authority.issue({ hosts: HOSTS, keys: on('P-521') }))

    await expect(newClient(server, ca).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    expect(await verdictOfNode(server, ca)).toBe(ACCEPTS)
  })

  // OpenSSL wants the client to offer the key's curve for the exchange of keys too, which is more than to verify.
  test('by a key on P-521 needs TLS 1.3, and is broken off by the server over TLS 1.2', async () => {
    const identity = authority.issue({ hosts: HOSTS, keys: on('P-521') })
    const server = await serve(identity, { maxVersion: 'TLSv1.2' })

    const error = await rejection(newClient(server, ca).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false, attempts: 1 })
    expect(error.message).toMatch(/the server broke the handshake off: it may offer no .* kind of key/)
    expect(await verdictOfNode(server, ca)).toBe(ACCEPTS)
  })

  test.each(['P-256', 'P-384'])('over TLS 1.2 by a key on %s with SHA-512 is verified', async curve => {
    const identity = authority.issue({ hosts: HOSTS, keys: on(curve) })
    const server = await serve(identity, { maxVersion: 'TLSv1.2', sigalgs: 'ECDSA+SHA512' })

    await expect(newClient(server, ca).getAccessToken('u1', 'slack')).resolves.toBe(tokenFor(PATH))
    expect(await verdictOfNode(server, ca)).toBe(ACCEPTS)
  })
})

withRedis.test('the authority of a Redis is verified likewise', async () => {
  const authority = createAuthority('A CA of TLS inspection', { keys: on('P-521'), digest: 'sha512' })
  const platform = await serve(authority.issue({ hosts: HOSTS, digest: 'sha512' }))
  const redis = await startRedis({ identity: authority.issue({ hosts: HOSTS, digest: 'sha512' }) })
  const cache = { redis: { url: redis.url } }
  const [first, second] = [1, 2].map(() => newClient(platform, authority.certificate, { cache }))

  await first.getAccessToken('u1', 'slack')
  await second.getAccessToken('u1', 'slack')

  expect(second.stats().fleet).toMatchObject({ hits: 1, errors: 0, isBypassed: false })
  expect(platform.requests.count).toBe(1)
})

describe('what cannot be verified is told by its kind', () => {
  const ALGORITHM = /signed by an algorithm that is not supported \(such as SHA-1, DSA or Ed448\)/
  const KEY = /signed by a kind of key that is not supported \(such as ECDSA on another curve/
  const dsa = newKeys('dsa', { modulusLength: 2048, divisorLength: 256 })
  test.each([
    ['Ed448', newKeys('ed448', {}), ALGORITHM],
    ['DSA', dsa, ALGORITHM],
    ['brainpool', on('brainpoolP256r1'), KEY],
    ['secp256k1', on('secp256k1'), KEY],
  ])('of an authority: %s', async (_name, keys, words) => {
    const authority = createAuthority('A CA of another kind', { keys })
    const server = await serve(authority.issue({ hosts: HOSTS }))

    const error = await rejection(newClient(server, authority.certificate).getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({ code: 'ERR_XKIT_TLS', retryable: false, attempts: 1 })
    expect(error.message).toMatch(words)
    expect(server.requests.count).toBe(0)
    expect(await verdictOfNode(server, authority.certificate)).toBe(ACCEPTS)
  })
})
