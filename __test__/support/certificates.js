// A private certificate authority on node:crypto alone, so that the tests need no openssl command. It writes just
// the X.509 that a TLS client looks at: keys, signatures, validity, names, basic constraints, what a certificate is for.

const { createHash, generateKeyPairSync, randomBytes, sign } = require('node:crypto')
const { isIP } = require('node:net')

const DAY = 24 * 60 * 60 * 1000

const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  unknown: '1.3.6.1.4.1.99999.1',
}

/** By the kind of the signing key and the digest; the latter is to node:crypto what it is called here. */
const SIGNATURES = {
  ec: {
    sha1: '1.2.840.10045.4.1',
    sha256: '1.2.840.10045.4.3.2',
    sha384: '1.2.840.10045.4.3.3',
    sha512: '1.2.840.10045.4.3.4',
  },
  rsa: { sha1: '1.2.840.113549.1.1.5', sha256: '1.2.840.113549.1.1.11' },
  ed25519: { none: '1.3.101.112' },
  ed448: { none: '1.3.101.113' },
  dsa: { sha256: '2.16.840.1.101.3.4.3.2' },
}

/**
 * A CA that no system trusts. `certificate` is its PEM; `issue` makes the identity of a server, which fits straight
 * into the options of node:tls, node:https and node:http2; with `purpose: 'clientAuth'` that of a client. What a
 * certificate can be besides are the options of `build`. `authority` makes one below this one.
 */
function createAuthority(name = 'Private test CA', { keys = newKeys(), issuer, ...options } = {}) {
  const authority = { name, keys }
  const certificate = build({ ...options, subject: authority, issuer: issuer ?? authority, ca: true })
  const issue = ({ name = 'Private test server', keys = newKeys(), purpose = 'serverAuth', ...options }) => {
    const subject = { name, keys }
    return identity(subject, build({ ...options, subject, issuer: authority, purpose }))
  }
  return {
    certificate,
    issue,
    authority: (name, options) => createAuthority(name, { ...options, issuer: authority }),
  }
}

/** The identity of a server that signed its own certificate. */
function selfSigned(options) {
  const subject = { name: 'Private self-signed server', keys: newKeys() }
  return identity(subject, build({ ...options, subject, issuer: subject }))
}

function newKeys(kind = 'ec', options = { namedCurve: 'P-256' }) {
  return generateKeyPairSync(kind, options)
}

function identity(subject, certificate) {
  return { cert: certificate, key: subject.keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}

/**
 * With `digest` in the signature; `hasUnknown` for a critical extension that nobody knows; `version` 1 for one without any
 * extension; `isTampered` for a signature of something else.
 */
function build({
  subject,
  issuer,
  hosts,
  ca = false,
  purpose,
  digest,
  hasUnknown,
  isTampered = false,
  version = 3,
  ...validity
}) {
  const { notBefore = new Date(Date.now() - DAY), notAfter = new Date(Date.now() + DAY) } = validity
  const extensions = [
    extension(OID.basicConstraints, sequence(...(ca ? [boolean(true)] : [])), { critical: true }),
    extension(OID.subjectKeyIdentifier, octets(keyIdentifier(subject.keys))),
  ]
  if (issuer !== subject) {
    extensions.push(extension(OID.authorityKeyIdentifier, sequence(context(0, keyIdentifier(issuer.keys)))))
  }
  // A self-signed certificate names no key usage, as the usual one-line recipe for such a certificate leaves it.
  if (purpose) {
    extensions.push(extension(OID.keyUsage, bits(Buffer.from([0x80]), 7), { critical: true }))
    extensions.push(extension(OID.extendedKeyUsage, sequence(oid(OID[purpose]))))
  } else if (ca && !hosts) {
    extensions.push(extension(OID.keyUsage, bits(Buffer.from([0x06]), 1), { critical: true }))
  }
  if (hosts) extensions.push(extension(OID.subjectAltName, sequence(...hosts.map(alternativeName))))
  if (hasUnknown) extensions.push(extension(OID.unknown, octets(Buffer.alloc(1)), { critical: true }))

  const kind = issuer.keys.privateKey.asymmetricKeyType
  const digests = SIGNATURES[kind]
  const hash = digest ?? (digests.none ? undefined : 'sha256')
  const algorithm = sequence(oid(digests[hash ?? 'none']), ...(kind === 'rsa' ? [tagged(0x05)] : []))
  const toBeSigned = sequence(
    ...(version === 3 ? [constructed(0, integer(Buffer.from([2])))] : []),
    // Positive and without a leading zero byte, as DER wants an integer.
    integer(Buffer.concat([Buffer.from([0x40]), randomBytes(15)])),
    algorithm,
    distinguishedName(issuer.name),
    sequence(time(notBefore), time(notAfter)),
    distinguishedName(subject.name),
    subject.keys.publicKey.export({ type: 'spki', format: 'der' }),
    ...(version === 3 ? [constructed(3, sequence(...extensions))] : []),
  )
  const signed = isTampered ? Buffer.concat([toBeSigned, randomBytes(1)]) : toBeSigned
  const signature = sign(hash, signed, issuer.keys.privateKey)
  return pem(sequence(toBeSigned, algorithm, bits(signature)))
}

function distinguishedName(commonName) {
  return sequence(set(sequence(oid(OID.commonName), tagged(0x0c, Buffer.from(commonName)))))
}

function alternativeName(host) {
  return isIP(host) ? context(7, addressBytes(host)) : context(2, Buffer.from(host, 'ascii'))
}

function addressBytes(address) {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const [head, tail] = address.split('::').map(half => half.split(':').filter(Boolean))
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head
  return Buffer.from(groups.map(group => group.padStart(4, '0')).join(''), 'hex')
}

function keyIdentifier(keys) {
  return createHash('sha1')
    .update(keys.publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
}

function extension(id, value, { critical = false } = {}) {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value))
}

/** RFC 5280: two-digit years up to 2049, four digits from then on. */
function time(date) {
  const digits = `${date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace(/\D/g, '')}Z`
  const short = date.getUTCFullYear() >= 1950 && date.getUTCFullYear() < 2050
  return short ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits))
}

function oid(dotted) {
  const [first, second, ...rest] = dotted.split('.').map(Number)
  return tagged(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(number) {
  const digits = [number & 0x7f]
  for (let left = number >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80)
  return digits
}

const boolean = value => tagged(0x01, Buffer.from([value ? 0xff : 0]))
const integer = bytes => tagged(0x02, bytes)
const bits = (bytes, unused = 0) => tagged(0x03, Buffer.from([unused]), bytes)
const octets = bytes => tagged(0x04, bytes)
const sequence = (...parts) => tagged(0x30, ...parts)
const set = (...parts) => tagged(0x31, ...parts)
const context = (number, bytes) => tagged(0x80 | number, bytes)
const constructed = (number, ...parts) => tagged(0xa0 | number, ...parts)

function tagged(tag, ...parts) {
  const body = Buffer.concat(parts)
  const hex = body.length.toString(16)
  const long = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  const length = body.length < 0x80 ? Buffer.from([body.length]) : Buffer.from([0x80 | long.length, ...long])
  return Buffer.concat([Buffer.from([tag]), length, body])
}

function pem(der) {
  const lines = der.toString('base64').match(/.{1,64}/g)
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

module.exports = { createAuthority, newKeys, selfSigned }
