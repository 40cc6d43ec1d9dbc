// Owns the words for what is wrong with a certificate: each fault that the TLS library tells apart has its own. Node's own client meets the same
// server, so that it shows where this package is stricter, and the words are all that a user has.

const https = require('node:https')
const { XkitClient } = require('..')
const { createAuthority, newKeys } = require('./support/certificates')
const { startServer } = require('./support/http-rigs')
const { KEYS, closeRigs, rejection } = require('./support/rigs')

const HOSTS = ['localhost', '127.0.0.1']
const [ACCEPTS, REFUSES] = ['accepts', 'refuses']
/** That goes by the version of Node: by the security level of its OpenSSL. */
const EITHER = expect.stringMatching(/accepts|refuses/)
// OpenSSL itself would refuse to serve some of these.
const LAX = { ciphers: 'DEFAULT@SECLEVEL=0' }

const authority = createAuthority()
const below = authority.authority('An intermediate CA')
const rsa = modulusLength => newKeys('rsa', { modulusLength })
const short = createAuthority('A CA with a short key', { keys: rsa(1024) })
const signedBySha1 = createAuthority('A CA that signs with SHA-1', { keys: rsa(2048) })
const issue = options => authority.issue({ hosts: HOSTS, ...options })

/** What is served, what is trusted, what this package says of it, and what Node does. */
const CASES = [
  ['of X.509 version 1', issue({ version: 1, name: 'localhost' }), /not of X\.509 version 3/, ACCEPTS],
  [
    'with an RSA key of 1024 bits',
    issue({ keys: rsa(1024) }),
    /wrong, or made by an RSA key of less than 2048 bits/,
    EITHER,
  ],
  [
    'of an authority with 1024 bits',
    short.issue({ hosts: HOSTS }),
    /wrong, or made by an RSA key of less than 2048 bits/,
    ACCEPTS,
  ],
  [
    'signed with SHA-1',
    signedBySha1.issue({ hosts: HOSTS, digest: 'sha1' }),
    /signed by an algorithm that is not supported \(such as SHA-1/,
    REFUSES,
  ],
  ['for clients only', issue({ purpose: 'clientAuth' }), /not for servers \(extendedKeyUsage/, REFUSES],
  [
    'with an unknown critical extension',
    issue({ hasUnknown: true }),
    /critical extension that this client does not know/,
    REFUSES,
  ],
  [
    'with a common name alone',
    issue({ name: 'localhost', hosts: undefined }),
    /no subject alternative name/,
    ACCEPTS,
  ],
  ['marked as an authority', issue({ ca: true }), /marked as an authority \(CA:TRUE/, ACCEPTS],
  [
    'without its intermediate',
    below.issue({ hosts: HOSTS }),
    /is the only one that the server sent: .* intermediate/,
    REFUSES,
  ],
]
const TRUSTED = [authority, short, signedBySha1].map(({ certificate }) => certificate)

afterEach(closeRigs)

function verdictOfNode({ port }) {
  return new Promise(resolve => {
    const at = { host: 'localhost', family: 4, port, ca: TRUSTED, agent: false, path: '/control' }
    https.get(at, response => resolve(response.resume() && ACCEPTS)).on('error', () => resolve(REFUSES))
  })
}

function newClient({ port }) {
  return new XkitClient({ ...KEYS, baseUrl: `https://localhost:${port}`, ca: TRUSTED })
}

test.each(CASES)('a certificate %s is told by that', async (_what, identity, words, node) => {
  const server = await startServer({ identity, protocols: ['http/1.1'], ...LAX })

  const error = await rejection(newClient(server).getAccessToken('u1', 'slack'))

  expect(error).toMatchObject({
    name: 'XkitNetworkError',
    code: 'ERR_XKIT_TLS',
    retryable: false,
    attempts: 1,
  })
  expect(error.message).toMatch(words)
  expect(server.connections.count).toBe(1)
  expect(server.requests.count).toBe(0)
  expect(await verdictOfNode(server)).toEqual(node)
})
