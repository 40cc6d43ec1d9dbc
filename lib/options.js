// Owns reading options: checks each of them once, and lets the environment stand in for those that were not given.
'use strict'

const { types } = require('node:util')
const {
  MAX_TIMER_MS,
  invalidType,
  invalidValue,
  get,
  isArray,
  isObject,
  kindOf,
  ownFields,
  requireBoolean,
  requireInteger,
  requireText,
} = require('./checks.js')
const {
  PATH_VARIABLES,
  environmentHttp2,
  environmentProxy,
  nodeRoots,
  variable,
} = require('./environment.js')

const MAX_COMMAND_MS = 60_000
const MAX_ENTRIES = 10_000_000
// As many bytes as the keys have that are derived from it.
const MIN_ENCRYPTION_KEY_BYTES = 32

// A reader takes the name of an option, for messages, and its value; it returns what native code takes, or throws.

const integer = (least, most) => (name, value) => requireInteger(name, value, least, most)
const object = readers => (name, value) => readFields(name, value, readers)
const milliseconds = integer(1, MAX_TIMER_MS)

const REDIS = {
  url: requireText,
  sentinelUsername: requireText,
  sentinelPassword: requireText,
  keyPrefix: requireText,
  commandTimeoutMs: integer(1, MAX_COMMAND_MS),
}
const CACHE = {
  ttlMs: milliseconds,
  maxEntries: integer(1, MAX_ENTRIES),
  redis: readRedis,
  encryptionKey: readEncryptionKey,
}
const CLIENT = {
  publishableKey: requireText,
  secretKey: requireText,
  credentials: requireCredentials,
  baseUrl: requireText,
  allowHttp: requireBoolean,
  http2: requireBoolean,
  hosts: readHosts,
  catalogUrl: requireText,
  timeoutMs: milliseconds,
  attemptTimeoutMs: milliseconds,
  connectTimeoutMs: milliseconds,
  maxConnectionAgeMs: milliseconds,
  maxRetries: integer(0, 10),
  maxConcurrency: integer(1, 10_000),
  paths: object({ user: requireText, group: requireText, context: requireText }),
  cache: readCache,
  proxy: readProxy,
  ca: readCertificates,
  cert: readPem,
  key: readPem,
}
const CALL = {
  signal: requireSignal,
  timeoutMs: milliseconds,
  fresh: requireBoolean,
}

const CLOSE = { timeoutMs: integer(0, MAX_TIMER_MS) }
const WAIT = { signal: CALL.signal, timeoutMs: CALL.timeoutMs }

const CALL_OPTIONS = Object.keys(CALL)
/** Those of `withAccessToken`. */
const USE_OPTIONS = [...CALL_OPTIONS, 'isRejected']

// The variable that stands in for an option that is not given.

const VARIABLES = {
  publishableKey: 'XKIT_PUBLISHABLE_KEY',
  secretKey: 'XKIT_SECRET_KEY',
  baseUrl: 'XKIT_BASE_URL',
  catalogUrl: 'XKIT_CATALOG_URL',
}
const REDIS_VARIABLE = 'XKIT_REDIS_URL'

const KEYS = ['publishableKey', 'secretKey']

/** Returns what native code takes: the options, and in `variables` the variable of each that was not given. */
function readClientOptions(options = {}) {
  const native = readFields('options', options, CLIENT)
  const variables = { __proto__: null, ...VARIABLES }
  if ('credentials' in native) {
    for (const key of KEYS) {
      if (key in native) throw invalidValue(`options.${key} cannot be given beside options.credentials`)
      delete variables[key]
    }
  }
  native.paths ??= Object.create(null)
  native.variables = {
    __proto__: null,
    ...fill(native, variables),
    ...fill(native.paths, PATH_VARIABLES, 'paths.'),
  }
  if (!('proxy' in native)) {
    native.proxy = environmentProxy()
    if (native.proxy !== undefined) native.variables.proxy = native.proxy.variable
  }
  native.http2 ??= environmentHttp2()
  if (native.cache !== undefined) fillRedis('options.cache', native.cache, native.variables)
  native.nodeRoots = nodeRoots()
  return native
}

/** Gives the options that the environment stands in for, each with its variable. */
function fill(fields, variables, prefix = '') {
  const missing = Object.entries(variables).filter(([name]) => !(name in fields))
  for (const [name, source] of missing) fields[name] = variable(source)
  return Object.fromEntries(missing.map(([name, source]) => [prefix + name, source]))
}

function readCallOptions(options = {}) {
  return readFields('options', options, CALL)
}

function readCloseOptions(options = {}) {
  return readFields('options', options, CLOSE)
}

function readWaitOptions(options = {}) {
  return readFields('options', options, WAIT)
}

/** Returns an object without a prototype, since native code reads inherited fields too. */
function readFields(name, value, readers) {
  const fields = ownFields(name, value, Object.keys(readers))
  for (const [field, read] of Object.entries(readers)) {
    if (field in fields) fields[field] = read(`${name}.${field}`, fields[field])
  }
  return fields
}

function readCache(name, cache) {
  if (cache === false) return undefined
  if (cache === true) return Object.create(null)
  if (!isObject(cache)) {
    throw invalidType(
      `${name} must be true, false, or an object such as { ttlMs: 60000 }, but is ${kindOf(cache)}`,
    )
  }
  const native = readFields(name, cache, CACHE)
  // A fleet that silently is none would ask the platform from every process.
  if (Object.hasOwn(cache, 'redis') && cache.redis === undefined) {
    throw invalidType(
      `${name}.redis is undefined: is the variable set that it comes from? Without a Redis, leave it out`,
    )
  }
  return native
}

/** Gives a cache the Redis of the environment where it has none of its own, and the Redis its encryption key. */
function fillRedis(name, cache, variables) {
  const url = 'redis' in cache ? undefined : variable(REDIS_VARIABLE)
  if (url !== undefined) {
    cache.redis = { __proto__: null, url }
    variables['cache.redis'] = REDIS_VARIABLE
  }
  if (!('encryptionKey' in cache)) return
  if (!('redis' in cache)) throw invalidValue(`${name}.encryptionKey is of use with ${name}.redis only`)
  cache.redis.encryptionKey = cache.encryptionKey
  delete cache.encryptionKey
}

function readRedis(name, redis) {
  if (typeof redis === 'string') return { __proto__: null, url: requireText(name, redis) }
  const native = readFields(name, redis, REDIS)
  requireText(`${name}.url`, native.url)
  return native
}

/** Returns Base64, since a key may be any bytes. A string stands for its UTF-8. */
function readEncryptionKey(name, key) {
  if (typeof key === 'string') requireText(name, key)
  else if (!types.isUint8Array(key)) throw invalidType(`${name} must be a string or a Buffer`)
  const bytes = typeof key === 'string' ? Buffer.from(key) : bufferOf(key)
  if (bytes.length < MIN_ENCRYPTION_KEY_BYTES) {
    throw invalidValue(`${name} must be at least ${MIN_ENCRYPTION_KEY_BYTES} bytes long, of random`)
  }
  return bytes.toString('base64')
}

/** By slug, in the form in which a URL has them. */
function readHosts(name, hosts) {
  const bySlug = Object.create(null)
  for (const [slug, list] of Object.entries(ownFields(name, hosts))) {
    if (!isArray(list)) throw invalidType(`${name}.${slug} must be an array of hosts`)
    bySlug[slug] = list.map(host => readHost(`${name}.${slug}`, host))
  }
  return bySlug
}

function readHost(name, host) {
  const isHost = /^(?:[^\s*/?#@\\:[\]]+|\[[\da-f:.]+\])(?::\d+)?$/i.test(requireText(name, host))
  if (!isHost || !URL.canParse(`https://${host}`)) {
    throw invalidValue(`${name} must name hosts such as 'api.example.com', with a port or without one`)
  }
  const [port = ''] = /:\d+$/.exec(host) ?? []
  return new URL(`https://${host}`).hostname + port
}

function requireCredentials(name, value) {
  if (typeof value === 'function') return value
  throw invalidType(
    `${name} must be a function that gives { publishableKey, secretKey }, but is ${kindOf(value)}`,
  )
}

function readProxy(name, proxy) {
  if (proxy === false) return undefined
  if (typeof proxy !== 'string') throw invalidType(`${name} must be a URL as a string, or false`)
  return { __proto__: null, url: requireText(name, proxy), noProxy: '' }
}

function readCertificates(name, ca) {
  return (isArray(ca) ? ca : [ca]).map(pem => readPem(name, pem))
}

function readPem(name, pem) {
  if (typeof pem === 'string') return requireText(name, pem)
  if (!types.isUint8Array(pem)) throw invalidType(`${name} must be PEM, as a string or a Buffer`)
  return bufferOf(pem).toString('latin1')
}

function bufferOf(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

// Not by `instanceof`: a signal may come from another realm, as it does in jest.
function requireSignal(name, value) {
  const isSignal =
    typeof get(value, 'aborted') === 'boolean' && typeof get(value, 'addEventListener') === 'function'
  if (!isSignal) throw invalidType(`${name} must be an AbortSignal`)
  return value
}

module.exports = {
  CALL_OPTIONS,
  USE_OPTIONS,
  readCallOptions,
  readClientOptions,
  readCloseOptions,
  readWaitOptions,
}
