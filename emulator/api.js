// Owns one API request from arrival to answer: it records, plans a fault, delays, authenticates and looks up the connection.
'use strict'

const { connectionBody } = require('./answers.js')
const { after } = require('./clock.js')
const { reset, truncate } = require('./faults.js')
const { record } = require('./record.js')

const API_PREFIX = '/api/platform'
const BODILESS_STATUSES = [204, 205, 304]

function isApiPath(path) {
  return path.startsWith(API_PREFIX) && ['', '/', '?'].includes(path.charAt(API_PREFIX.length))
}

function json(status, value, headers = {}) {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  }
}

/** The owner's kind and the percent-encoded id and slug of a path, or undefined for a path that the API does not have. */
function matchRoute(path) {
  const parts = path.split('?', 1)[0].slice(API_PREFIX.length).split('/').slice(1)
  if (parts.includes('')) return undefined
  const [first, second, third, fourth] = parts
  if (parts.length === 3 && first === 'connections') return { kind: 'user', id: second, slug: third }
  if (parts.length !== 4 || third !== 'connections') return undefined
  if (first === 'groups') return { kind: 'group', id: second, slug: fourth }
  if (first === 'contexts') return { kind: 'context', id: second, slug: fourth }
  return undefined
}

/** The owner and slug of a route, or undefined if there is no route or its encoding is invalid. */
function decodeRoute(route) {
  if (route === undefined) return undefined
  try {
    return {
      owner: { kind: route.kind, id: decodeURIComponent(route.id) },
      slug: decodeURIComponent(route.slug),
    }
  } catch {
    return undefined
  }
}

function isAuthorized(header, { publishableKey, secretKey }) {
  const [, encoded] = /^basic +(\S+) *$/i.exec(header ?? '') ?? []
  return (
    encoded !== undefined && Buffer.from(encoded, 'base64').toString() === `${publishableKey}:${secretKey}`
  )
}

function createApi({ store, faults, keys, shape, requests, latencyMs }) {
  let lastRequest = 0

  function answer(request, route, asked) {
    if (route === undefined) {
      // Plain text, since a JSON 404 means that the owner is unknown.
      const body = 'No such path in the Platform API\n'
      return { status: 404, headers: { 'content-type': 'text/plain; charset=utf-8' }, body }
    }
    if (request.method !== 'GET') return json(405, { error: 'Method not allowed' }, { allow: 'GET' })
    if (!isAuthorized(request.headers.authorization, keys)) {
      return json(401, { error: 'Invalid API key' }, { 'www-authenticate': 'Basic realm="xkit-emulator"' })
    }
    if (asked === undefined) return json(400, { error: 'The path is not valid percent-encoded UTF-8' })
    const { owner, slug } = asked
    if (!store.hasOwner(owner)) return json(404, { error: `This ${route.kind} has not been provisioned` })
    const usedShape = shape ?? (route.kind === 'context' ? 'nested' : 'flat')
    return json(200, connectionBody(usedShape, slug, store.findConnection(owner, slug)))
  }

  function planned({ status, retryAfter }) {
    const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
    if (BODILESS_STATUSES.includes(status)) return { status, headers, body: '' }
    return json(status, { error: `The emulator was told to answer ${status}` }, headers)
  }

  function deliver(request, response, { entry, plan, route, asked }) {
    if (request.socket.destroyed) return
    if (plan?.fault === 'reset') {
      reset(request)
      return
    }
    const reply = plan?.status === undefined ? answer(request, route, asked) : planned(plan)
    lastRequest += 1
    Object.assign(reply.headers, {
      'cache-control': 'no-store',
      'x-request-id': `emulated-request-${lastRequest}`,
    })
    entry.status = reply.status
    if (plan?.fault === 'truncate') {
      truncate(request, response, reply)
      return
    }
    if (reply.body !== '') reply.headers['content-length'] = Buffer.byteLength(reply.body)
    response.writeHead(reply.status, reply.headers).end(reply.body)
  }

  return function handleApi(request, response) {
    const entry = { method: request.method, path: request.url, status: 0 }
    record(requests, entry)
    // While a request body is unread, the socket does not report that the client has left.
    request.resume()
    const route = matchRoute(request.url)
    const asked = decodeRoute(route)
    const plan = faults.take(asked)
    if (plan?.fault === 'stall') return
    const exchange = { entry, plan, route, asked }
    const delay = latencyMs()
    if (delay === 0) {
      deliver(request, response, exchange)
      return
    }
    response.once(
      'close',
      after(delay, () => deliver(request, response, exchange)),
    )
  }
}

module.exports = { API_PREFIX, createApi, isApiPath }
