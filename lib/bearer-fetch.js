// Owns `fetch` with a bearer token: where it may go, which request is sent, whether that can be sent a second time, and
// which answers are looked into for a rejection.
'use strict'

// Not the global ones, which tests replace by a fake.
const { clearTimeout, setTimeout } = require('node:timers')
const { invalidValue, requireObject, requireString } = require('./checks.js')
const { toError } = require('./errors.js')
const { BODY_STATUSES, isRejectedBody, isRejection } = require('./rejection/index.js')

/** Options that other methods or the constructor take: `fetch` refuses them, since it would ignore them. */
const FOREIGN = [
  ...['timeoutMs', 'fresh', 'isRejected', 'attemptTimeoutMs', 'connectTimeoutMs', 'maxRetries', 'hosts'],
  'allowHttp',
]
const LOCALHOST = /^(?:.+\.)?localhost\.?$/
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|\[?::1\]?)$/
const DEFAULT_PORTS = { __proto__: null, 'http:': '80', 'https:': '443' }

const parentOf = Object.getPrototypeOf

const REDIRECTS = [301, 302, 303, 307, 308]
const MAX_REDIRECTS = 20
const BODY_HEADERS = ['content-type', 'content-length', 'content-encoding', 'content-language']

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i
const MAX_BODY = 64 * 1024
/** A refusal comes with its headers, or right behind them. */
const PATIENCE_MS = 1000

/**
 * The global `fetch` as a use of a token, with what recovery has to know of the request. `limits` are the client's `hosts`
 * and `allowHttp`.
 */
function bearerFetch(slug, input, init, limits) {
  const own = readInit(init)
  const request = isRequest(input) ? input : undefined
  const url = readUrl(request === undefined ? input : request.url)
  const check = next => checkDestination(next, slug, limits)
  check(url)
  const signal = own.signal === undefined ? request?.signal : own.signal
  return {
    use: async token => {
      if (url.protocol === 'http:' && LOCALHOST.test(url.hostname)) await requireLoopback(url.hostname)
      const headers = authorized(own.headers ?? request?.headers, slug, token)
      const target = request ?? url.href
      const fields = { __proto__: null, ...own, headers }
      return limits.hosts === undefined
        ? await fetch(target, fields)
        : await fetchWithin(target, fields, check)
    },
    options: signal ? { __proto__: null, signal } : undefined,
    isRepeatable: !isOneShot(own.body ?? request?.body),
    judge: (response, isThrown) => judge(response, isThrown, url),
  }
}

/** The fields of `init`, those of a Request or of another class too; nothing that lies on `Object.prototype`. */
function readInit(init) {
  if (init === undefined || init === null) return { __proto__: null }
  requireObject('init', init)
  const fields = { __proto__: null, ...init }
  for (const name of FOREIGN) {
    if (fields[name] !== undefined) throw invalidValue(`init.${name} is no option of fetch`)
  }
  // The last of the chain is the root of all objects, of whatever realm.
  for (let at = parentOf(init); at !== null && parentOf(at) !== null; at = parentOf(at)) {
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (get !== undefined && !(name in fields)) fields[name] = init[name]
    }
  }
  return fields
}

// Not by `instanceof`: there is a Request in each realm, and one in undici.
function isRequest(input) {
  return typeof input === 'object' && input !== null && typeof input.headers?.get === 'function'
}

/** Whether reading the body uses it up. A Request has its body as a stream, whatever it was made from. */
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
    throw invalidValue('input must be a URL of a host that the option hosts names for this slug')
  }
}

/** A resolver may map `localhost` to another machine. */
async function requireLoopback(hostname) {
  // Part of Node itself, so that it needs no file; few calls need it.
  const dns = require('node:dns')
  const found = await dns.promises.lookup(hostname, { all: true }).catch(() => [])
  if (!found.every(({ address }) => LOOPBACK.test(address))) {
    throw invalidValue('input must be an https: URL, since its localhost leads to no loopback address')
  }
}

/**
 * `fetch` that follows a redirect only where `check` allows it, and otherwise resolves with the redirect itself. As `fetch`
 * does, it drops the token where the origin changes.
 */
async function fetchWithin(input, init, check) {
  const request = isRequest(input) ? readInit(input) : undefined
  let next = { url: readUrl(request ? input.url : input), init: { __proto__: null, ...request, ...init } }
  if ((next.init.redirect ?? 'follow') !== 'follow') return fetch(input, init)
  let response = await fetch(input, { ...init, redirect: 'manual' })
  for (let count = 0; count < MAX_REDIRECTS; count++) {
    next = redirected(next, response, check)
    if (next === undefined) return response
    await response.body?.cancel()
    response = await fetch(next.url, { ...next.init, redirect: 'manual' })
  }
  return response
}

/** The request to which an answer redirects; nothing for one that must not be followed, or that is none. */
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
    // Its own error may quote the header.
    throw toError({
      className: 'XkitApiError',
      message: `The access token for ${slug} holds characters that no header can carry: ask for it with getAccessToken`,
      code: 'ERR_XKIT_INVALID_RESPONSE',
      retryable: false,
      attempts: 1,
    })
  }
  return headers
}

// Answers that reject the token.

/** Whether the answer rejects the token. What is not a small JSON answer is neither read nor waited for. */
function judge(response, isThrown, url) {
  if (isThrown) return false
  try {
    if (response.url && new URL(response.url).origin !== url.origin) return false
    if (isRejection(response, false, { url })) return true
    return isSmallJson(response) && isRejectedInBody(response)
  } catch {
    // Somebody's own `fetch` may answer with less than a Response.
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
    // The caller reads an error, or JSON that is not whole.
    return false
  }
}

/**
 * The text of the first chunk, from a clone. More is read only of a body whose length is known to be small: another
 * one may be a stream, which is neither to be held back nor to be kept in memory. What is late is not waited for.
 */
async function beginningOf(response) {
  const isSmall = response.headers.has('content-length')
  const reader = response.clone().body.getReader()
  const chunks = []
  let length = 0
  let timer
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, PATIENCE_MS, { done: true })
  })
  try {
    do {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      chunks.push(value)
      length += value.byteLength
    } while (isSmall && length < MAX_BODY)
  } finally {
    clearTimeout(timer)
    // Not awaited: it ends when the caller has read or cancelled the other half.
    reader.cancel().catch(() => {})
  }
  return length > MAX_BODY ? '' : Buffer.concat(chunks).toString()
}

module.exports = { bearerFetch }
