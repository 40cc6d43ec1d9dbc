// Owns reading options: checks each one once, and replaces missing ones by variables of the environment.
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
// The length of the keys that are derived from it.
const MIN_ENCRYPTION_KEY_BYTES = 32

// A reader takes the name of an option, for messages, and its value. It returns the value for native code, or throws.

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
  credentials: requireFunction('returns { publishableKey, secretKey }'),
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
/** For `withAccessToken`. */
const USE = { ...CALL, isRejected: requireFunction('judges an outcome') }
const CLOSE = { timeoutMs: integer(0, MAX_TIMER_MS) }
const WAIT = { signal: requireSignal, timeoutMs: milliseconds }

const CALL_OPTIONS = Object.keys(CALL)
const USE_OPTIONS = Object.keys(USE)

const optionsReader = readers => options =>
  options === undefined ? Object.create(null) : readFields('options', options, readers)

const readCallOptions = optionsReader(CALL)
const readUseOptions = optionsReader(USE)
const readCloseOptions = optionsReader(CLOSE)
const readWaitOptions = optionsReader(WAIT)

// By the name of an option, the variable that replaces it if it is missing.

const KEY_VARIABLES = { publishableKey: 'XKIT_PUBLISHABLE_KEY', secretKey: 'XKIT_SECRET_KEY' }
const URL_VARIABLES = { baseUrl: 'XKIT_BASE_URL', catalogUrl: 'XKIT_CATALOG_URL' }
const REDIS_VARIABLE = 'XKIT_REDIS_URL'

/** The options for native code. `variables` has the name of each missing option, with its variable: messages name it. */
function readClientOptions(options = {}) {
  const native = readFields('options', options, CLIENT)
  native.paths ??= Object.create(null)
  native.variables = Object.create(null)
  if ('credentials' in native) {
    for (const key of Object.keys(KEY_VARIABLES)) {
      if (key in native) throw invalidValue(`options.${key} cannot be given beside options.credentials`)
    }
  } else {
    addVariables(native, KEY_VARIABLES, native.variables)
  }
  addVariables(native, URL_VARIABLES, native.variables)
  addVariables(native.paths, PATH_VARIABLES, native.variables, 'paths.')
  if (!('proxy' in native)) {
    native.proxy = environmentProxy()
    if (native.proxy !== undefined) native.variables.proxy = native.proxy.variable
  }
  native.http2 ??= environmentHttp2()
  if (native.cache !== undefined) addRedis('options.cache', native.cache, native.variables)
  native.nodeRoots = nodeRoots()
  return native
}

/** Sets each missing field from its variable, and notes the variable in `used`. */
function addVariables(fields, variables, used, prefix = '') {
  for (const [name, source] of Object.entries(variables)) {
    if (name in fields) continue
    fields[name] = variable(source)
    used[prefix + name] = source
  }
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
  // Otherwise a missing variable would turn the fleet off without a word.
  if (Object.hasOwn(cache, 'redis') && cache.redis === undefined) {
    throw invalidType(
      `${name}.redis is undefined: set the variable that it comes from, or omit it if there is no Redis`,
    )
  }
  return native
}

/** Adds the Redis of the environment to a cache without one, and moves the encryption key to its Redis. */
function addRedis(name, cache, variables) {
  const url = 'redis' in cache ? undefined : variable(REDIS_VARIABLE)
  if (url !== undefined) {
    cache.redis = { __proto__: null, url }
    variables['cache.redis'] = REDIS_VARIABLE
  }
  if (!('encryptionKey' in cache)) return
  if (!('redis' in cache)) throw invalidValue(`${name}.encryptionKey is used with ${name}.redis only`)
  cache.redis.encryptionKey = cache.encryptionKey
  delete cache.encryptionKey
}

function readRedis(name, redis) {
  if (typeof redis === 'string') return { __proto__: null, url: requireText(name, redis) }
  const native = readFields(name, redis, REDIS)
  requireText(`${name}.url`, native.url)
  return native
}

/** Returns Base64, since a key may consist of any bytes. A string is encoded as UTF-8. */
function readEncryptionKey(name, key) {
  const bytes =
    typeof key === 'string'
      ? Buffer.from(requireText(name, key))
      : bufferOf(name, key, 'a string or a Buffer')
  if (bytes.length < MIN_ENCRYPTION_KEY_BYTES) {
    throw invalidValue(`${name} must be at least ${MIN_ENCRYPTION_KEY_BYTES} random bytes`)
  }
  return bytes.toString('base64')
}

/** Returns the hosts by slug, each in the form that `URL` gives it. */
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

function requireFunction(task) {
  return (name, value) => {
    if (typeof value === 'function') return value
    throw invalidType(`${name} must be a function that ${task}, but is ${kindOf(value)}`)
  }
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
  return typeof pem === 'string'
    ? requireText(name, pem)
    : bufferOf(name, pem, 'PEM, as a string or a Buffer').toString('latin1')
}

function bufferOf(name, bytes, forms) {
  if (!types.isUint8Array(bytes)) throw invalidType(`${name} must be ${forms}`)
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
  readUseOptions,
  readWaitOptions,
}
