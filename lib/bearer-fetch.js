// Owns `fetch` with a bearer token: where the token may go, whether a request can be sent a second time, and which answers are
// read for a rejection.
'use strict'

const { invalidValue, named, requireObject, requireString } = require('./checks.js')
const { toError } = require('./errors.js')
const { after } = require('./limits.js')
const { BODY_STATUSES, isRejectedBody, isRejection } = require('./rejection/index.js')

/** Options of other methods or of the constructor. `fetch` refuses them, rather than ignore them. */
const FOREIGN = named(
  'timeoutMs fresh isRejected attemptTimeoutMs connectTimeoutMs maxRetries hosts allowHttp',
)
const LOCALHOST = /^(?:.+\.)?localhost\.?$/
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|\[?::1\]?)$/
const DEFAULT_PORTS = { __proto__: null, 'http:': '80', 'https:': '443' }

const parentOf = Object.getPrototypeOf

const REDIRECTS = [301, 302, 303, 307, 308]
const MAX_REDIRECTS = 20
const BODY_HEADERS = ['content-type', 'content-length', 'content-encoding', 'content-language']

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i
const MAX_BODY = 64 * 1024
/** Services send the body of a refusal right after its headers. */
const PATIENCE_MS = 1000

/**
 * The arguments of `recover` for a request with the global `fetch`. `destinations` has the options `hosts` and
 * `allowHttp` of the client.
 */
function bearerFetch(slug, input, init, destinations) {
  const own = readInit(init)
  const request = isRequest(input) ? input : undefined
  const url = readUrl(request === undefined ? input : request.url)
  const check = next => checkDestination(next, slug, destinations)
  check(url)
  const signal = own.signal === undefined ? request?.signal : own.signal
  return {
    use: async token => {
      if (url.protocol === 'http:' && LOCALHOST.test(url.hostname)) await requireLoopback(url.hostname)
      const headers = authorized(own.headers ?? request?.headers, slug, token)
      const target = request ?? url.href
      const fields = { __proto__: null, ...own, headers }
      return destinations.hosts === undefined
        ? await fetch(target, fields)
        : await fetchWithin(target, fields, check)
    },
    options: signal ? { __proto__: null, signal } : undefined,
    isRepeatable: !isOneShot(own.body ?? request?.body),
    judge: (response, isThrown) => judge(response, isThrown, url),
  }
}

/** The fields of `init`, with the getters of its class (a Request, for example) but nothing of `Object.prototype`. */
function readInit(init) {
  if (init === undefined || init === null) return { __proto__: null }
  requireObject('init', init)
  const fields = { __proto__: null, ...init }
  for (const name of FOREIGN) {
    if (fields[name] !== undefined) throw invalidValue(`init.${name} is not an option of fetch`)
  }
  // The last prototype of the chain is the `Object.prototype` of some realm.
  for (let at = parentOf(init); at !== null && parentOf(at) !== null; at = parentOf(at)) {
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (get !== undefined && !(name in fields)) fields[name] = init[name]
    }
  }
  return fields
}

// Not by `instanceof`: each realm has a Request of its own, and so has undici.
function isRequest(input) {
  return typeof input === 'object' && input !== null && typeof input.headers?.get === 'function'
}

/** Whether a body can be read only once. The body of a Request is always a stream. */
function isOneShot(body) {
  if (typeof body !== 'object' || body === null) return false
  return typeof body.getReader === 'function' || typeof body[Symbol.asyncIterator] === 'function'
}

// Where a token may go.

function readUrl(input) {
  if (typeof input !== 'object' || input === null) requireString('input', input)
  try {
    return new URL(input)
  } catch {
    throw invalidValue('input must be an absolute URL, or a Request')
  }
}

function checkDestination({ protocol, hostname, port }, slug, { hosts, allowHttp }) {
  const isLoopback = LOOPBACK.test(hostname) || LOCALHOST.test(hostname)
  const isAllowed = isLoopback || (allowHttp && hosts === undefined)
  if (protocol !== 'https:' && !(protocol === 'http:' && isAllowed)) {
    throw invalidValue(
      'input must be an https: URL (http: is for a loopback host, or with the option allowHttp), since the token goes there',
    )
  }
  if (hosts === undefined) return
  const allowed = Object.hasOwn(hosts, slug) ? hosts[slug] : []
  const withPort = `${hostname}:${port || DEFAULT_PORTS[protocol]}`
  if (!allowed.includes(hostname) && !allowed.includes(withPort)) {
    throw invalidValue('input must be a URL of a host that the option hosts lists for this slug')
  }
}

/** A resolver may map `localhost` to another machine. */
async function requireLoopback(hostname) {
  // Few calls need this module, which is part of Node itself and reads no file.
  const dns = require('node:dns')
  const found = await dns.promises.lookup(hostname, { all: true }).catch(() => [])
  if (!found.every(({ address }) => LOOPBACK.test(address))) {
    throw invalidValue(
      'input must be an https: URL, since its host name does not resolve to a loopback address',
    )
  }
}

/**
 * `fetch` that follows a redirect only if `check` allows its URL, and otherwise resolves with the redirect itself. Like `fetch`, it
 * removes the token when the origin changes.
 */
async function fetchWithin(input, init, check) {
  const request = isRequest(input) ? readInit(input) : undefined
  let next = { url: readUrl(request ? input.url : input), init: { __proto__: null, ...request, ...init } }
  if ((next.init.redirect ?? 'follow') !== 'follow') return fetch(input, init)
  let response = await fetch(input, { __proto__: null, ...init, redirect: 'manual' })
  for (let count = 0; count < MAX_REDIRECTS; count++) {
    next = redirected(next, response, check)
    if (next === undefined) return response
    await response.body?.cancel()
    response = await fetch(next.url, { __proto__: null, ...next.init, redirect: 'manual' })
  }
  return response
}

/** The request to which an answer redirects; `undefined` for any other answer, and for a redirect that must not be followed. */
function redirected({ url: from, init }, { status, headers }, check) {
  const location = REDIRECTS.includes(status) ? headers.get('location') : null
  if (location === null) return undefined
  let url
  try {
    url = new URL(location, from)
    check(url)
  } catch {
    return undefined
  }
  const next = { __proto__: null, ...init, headers: new Headers(init.headers) }
  const method = (init.method ?? 'GET').toUpperCase()
  const isGet = status === 303 ? method !== 'GET' && method !== 'HEAD' : status < 303 && method === 'POST'
  if (isGet) {
    Object.assign(next, { method: 'GET', body: undefined })
    for (const name of BODY_HEADERS) next.headers.delete(name)
  } else if (isOneShot(init.body)) return undefined
  if (url.origin !== from.origin) {
    for (const name of ['authorization', 'cookie', 'proxy-authorization']) next.headers.delete(name)
  }
  return { url, init: next }
}

function authorized(init, slug, token) {
  const headers = new Headers(init)
  try {
    headers.set('authorization', `Bearer ${token}`)
  } catch {
    // The error of `Headers` may quote the token.
    throw toError({
      className: 'XkitApiError',
      message: `The access token for ${slug} contains characters that no HTTP header allows: get it with getAccessToken`,
      code: 'ERR_XKIT_INVALID_RESPONSE',
      retryable: false,
      attempts: 1,
    })
  }
  return headers
}

/** Whether an answer rejects the token. The body of any but a small JSON answer is neither read nor awaited. */
function judge(response, isThrown, url) {
  if (isThrown) return false
  try {
    if (response.url && new URL(response.url).origin !== url.origin) return false
    if (isRejection(response, false, { url })) return true
    return isSmallJson(response) && isRejectedInBody(response)
  } catch {
    // A replaced global `fetch` may resolve with less than a Response.
    return false
  }
}

function isSmallJson(response) {
  if (!BODY_STATUSES.includes(response.status) || response.body === null) return false
  const type = response.headers.get('content-type')
  return JSON_TYPE.test(type) && !(response.headers.get('content-length') > MAX_BODY)
}

async function isRejectedInBody(response) {
  try {
    return isRejectedBody(response.status, JSON.parse(await beginningOf(response)))
  } catch {
    // The body failed, which the caller will see, or is no whole JSON.
    return false
  }
}

/**
 * The text of the first chunk, from a clone, if it comes in time. Reads on only if the length of the body is known to be small:
 * another body may be a stream, which must be neither delayed nor kept in memory.
 */
async function beginningOf(response) {
  const isSmall = response.headers.has('content-length')
  const reader = response.clone().body.getReader()
  const chunks = []
  let length = 0
  let cancel
  const late = new Promise(resolve => {
    cancel = after(PATIENCE_MS, () => resolve({ done: true }))
  })
  try {
    do {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      chunks.push(value)
      length += value.byteLength
    } while (isSmall && length < MAX_BODY)
  } finally {
    cancel()
    // Not awaited: this ends when the caller has read or cancelled the original.
    reader.cancel().catch(() => {})
  }
  return length > MAX_BODY ? '' : Buffer.concat(chunks).toString()
}

module.exports = { bearerFetch }
