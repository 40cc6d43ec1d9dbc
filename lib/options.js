// Owns how options become what the native side takes: own fields only, types and ranges checked, environment filled in.
'use strict'

const { types } = require('node:util')
const {
  invalidType,
  invalidValue,
  ownFields,
  requireBoolean,
  requireInteger,
  requireText,
} = require('./checks.js')
const { environmentProxy, nodeRoots, variable } = require('./environment.js')

// The longest delay that a Node timer can hold; nothing is gained by more.
const MAX_MS = 2 ** 31 - 1

const TEXT_OPTIONS = {
  publishableKey: 'XKIT_PUBLISHABLE_KEY',
  secretKey: 'XKIT_SECRET_KEY',
  baseUrl: 'XKIT_BASE_URL',
  catalogUrl: 'XKIT_CATALOG_URL',
}
const INTEGER_OPTIONS = {
  timeoutMs: [1, MAX_MS],
  attemptTimeoutMs: [1, MAX_MS],
  connectTimeoutMs: [1, MAX_MS],
  maxRetries: [0, 10],
  maxConcurrency: [1, 10_000],
}
const OPTIONS = [
  ...Object.keys(TEXT_OPTIONS),
  ...Object.keys(INTEGER_OPTIONS),
  'paths',
  'cache',
  'proxy',
  'ca',
]
const PATHS = ['user', 'group', 'context']
const CACHE = ['ttlMs', 'maxEntries', 'redis', 'encryptionKey']
const REDIS = ['url', 'keyPrefix', 'commandTimeoutMs']
const MAX_COMMAND_MS = 60_000
// As many bytes as the keys have that are derived from it.
const MIN_ENCRYPTION_KEY_BYTES = 32
const MAX_ENTRIES = 10_000_000
const CALL_OPTIONS = ['signal', 'timeoutMs', 'fresh']

/** The native side's options, on objects without a prototype, since it reads inherited fields too. */
function readClientOptions(options = {}) {
  const fields = ownFields('options', options, OPTIONS)
  const native = Object.create(null)
  for (const [name, fallback] of Object.entries(TEXT_OPTIONS)) {
    native[name] = name in fields ? requireText(`options.${name}`, fields[name]) : variable(fallback)
  }
  for (const [name, [least, most]] of Object.entries(INTEGER_OPTIONS)) {
    if (name in fields) native[name] = requireInteger(`options.${name}`, fields[name], least, most)
  }
  if ('paths' in fields) native.paths = readPaths(fields.paths)
  if ('cache' in fields) native.cache = readCache(fields.cache)
  native.proxy = 'proxy' in fields ? readProxy(fields.proxy) : environmentProxy()
  if ('ca' in fields) native.ca = readCertificates(fields.ca)
  native.nodeRoots = nodeRoots()
  return native
}

function readPaths(paths) {
  const fields = ownFields('options.paths', paths, PATHS)
  for (const name of Object.keys(fields)) requireText(`options.paths.${name}`, fields[name])
  return fields
}

function readCache(cache) {
  if (cache === false) return undefined
  if (cache === true) return Object.create(null)
  const fields = ownFields('options.cache', cache, CACHE)
  if ('ttlMs' in fields) requireInteger('options.cache.ttlMs', fields.ttlMs, 1, MAX_MS)
  if ('maxEntries' in fields) requireInteger('options.cache.maxEntries', fields.maxEntries, 1, MAX_ENTRIES)
  const { redis, encryptionKey, ...native } = fields
  if (redis !== undefined) native.redis = readRedis(redis, encryptionKey)
  else if (encryptionKey !== undefined) {
    throw invalidValue('options.cache.encryptionKey is of use with options.cache.redis only')
  }
  return Object.assign(Object.create(null), native)
}

function readRedis(redis, encryptionKey) {
  const url = typeof redis === 'string' ? { url: redis } : redis
  const fields = ownFields('options.cache.redis', url, REDIS)
  requireText(typeof redis === 'string' ? 'options.cache.redis' : 'options.cache.redis.url', fields.url)
  if ('keyPrefix' in fields) requireText('options.cache.redis.keyPrefix', fields.keyPrefix)
  if ('commandTimeoutMs' in fields) {
    requireInteger('options.cache.redis.commandTimeoutMs', fields.commandTimeoutMs, 1, MAX_COMMAND_MS)
  }
  if (encryptionKey !== undefined) fields.encryptionKey = readEncryptionKey(encryptionKey)
  return fields
}

/** As Base64, since any bytes will do. A string stands for its UTF-8. */
function readEncryptionKey(key) {
  if (typeof key === 'string') requireText('options.cache.encryptionKey', key)
  else if (!types.isUint8Array(key)) {
    throw invalidType('options.cache.encryptionKey must be a string or a Buffer')
  }
  const bytes =
    typeof key === 'string' ? Buffer.from(key) : Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  if (bytes.length < MIN_ENCRYPTION_KEY_BYTES) {
    throw invalidValue(
      `options.cache.encryptionKey must be at least ${MIN_ENCRYPTION_KEY_BYTES} bytes long, of random`,
    )
  }
  return bytes.toString('base64')
}

function readProxy(proxy) {
  if (proxy === false) return undefined
  if (typeof proxy !== 'string') throw invalidType('options.proxy must be a URL as a string, or false')
  return { __proto__: null, url: requireText('options.proxy', proxy), noProxy: '' }
}

function readCertificates(ca) {
  return (Array.isArray(ca) ? ca : [ca]).map(pem => {
    if (typeof pem === 'string') return requireText('options.ca', pem)
    if (!types.isUint8Array(pem)) throw invalidType('options.ca must be PEM, as strings or Buffers')
    return Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1')
  })
}

function readCallOptions(options) {
  const fields = ownFields('options', options, CALL_OPTIONS)
  if ('timeoutMs' in fields) requireInteger('options.timeoutMs', fields.timeoutMs, 1, MAX_MS)
  if ('fresh' in fields) requireBoolean('options.fresh', fields.fresh)
  if ('signal' in fields && !isSignal(fields.signal)) {
    throw invalidType('options.signal must be an AbortSignal')
  }
  return fields
}

// Not by `instanceof`: a signal may come from another realm, as it does in jest.
function isSignal(value) {
  try {
    return typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function'
  } catch {
    return false
  }
}

module.exports = { readCallOptions, readClientOptions }
