// Owns the pretended third-party APIs: each accepts the tokens that are valid now and rejects others as its service does.
'use strict'

const { record } = require('./record.js')

const SERVICE_PREFIX = '/service'

const REFUSED = {
  status: 401,
  body: { error: 'invalid_token' },
  headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
}

const ANY_SERVICE = {
  schemes: ['bearer'],
  accept: (slug, owner) => ({ status: 200, body: { slug, owner } }),
  refuse: () => REFUSED,
}

/** What some services do differently, by slug; their own SDKs depend on it. */
const SERVICES = {
  __proto__: null,
  // GitHub's SDK sends `Authorization: token …`.
  github: { ...ANY_SERVICE, schemes: ['bearer', 'token'] },
  // Slack's Web API answers 200 to everything, and says in the body whether it worked.
  slack: {
    ...ANY_SERVICE,
    accept: (slug, owner) => ({ status: 200, body: { ok: true, slug, owner } }),
    refuse: token => ({
      status: 200,
      body: { ok: false, error: token === undefined ? 'not_authed' : 'invalid_auth' },
    }),
  },
}

function isServicePath(path) {
  return path.startsWith(`${SERVICE_PREFIX}/`)
}

function readSlug(path) {
  try {
    return decodeURIComponent(path.slice(SERVICE_PREFIX.length + 1).split(/[/?]/, 1)[0])
  } catch {
    return ''
  }
}

function readToken(header = '', schemes) {
  const [, scheme, token] = /^(\w+) +(\S+) *$/.exec(header) ?? []
  return schemes.includes(scheme?.toLowerCase()) ? token : undefined
}

function createService({ store, requests }) {
  function answer({ url, headers }) {
    const slug = readSlug(url)
    if (slug === '') return { status: 404, body: { error: 'The path names no connector' } }
    const service = SERVICES[slug] ?? ANY_SERVICE
    const token = readToken(headers.authorization, service.schemes)
    const owner = token === undefined ? undefined : store.findOwnerOfToken(slug, token)
    return owner === undefined ? service.refuse(token) : service.accept(slug, owner)
  }

  return function handleService(request, response) {
    const entry = { method: request.method, path: request.url, status: 0 }
    record(requests, entry)
    // Services read the whole request before they answer.
    request.resume().once('end', () => {
      const { status, body, headers } = answer(request)
      const bytes = Buffer.from(JSON.stringify(body))
      entry.status = status
      response.writeHead(status, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': bytes.length,
        'cache-control': 'no-store',
        ...headers,
      })
      response.end(bytes)
    })
  }
}

module.exports = { SERVICE_PREFIX, createService, isServicePath }
