// Owns the pretended third-party API: it takes the tokens that are valid now, and refuses every other.
'use strict'

const { record } = require('./record.js')

const SERVICE_PREFIX = '/service'

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

function createService({ store, requests }) {
  function answer({ url, headers }) {
    const slug = readSlug(url)
    if (slug === '') return { status: 404, body: { error: 'The path names no connector' } }
    const [, token] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? []
    const owner = token === undefined ? undefined : store.findOwnerOfToken(slug, token)
    if (owner === undefined) return { status: 401, body: { error: 'invalid_token' } }
    return { status: 200, body: { slug, owner } }
  }

  return function handleService(request, response) {
    const entry = { method: request.method, path: request.url, status: 0 }
    record(requests, entry)
    // A service reads what it is sent before it answers; a client that leaves before gets no answer.
    request.resume().once('end', () => {
      const { status, body } = answer(request)
      const bytes = Buffer.from(JSON.stringify(body))
      entry.status = status
      response.writeHead(status, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': bytes.length,
        'cache-control': 'no-store',
        ...(status === 401 && { 'www-authenticate': 'Bearer error="invalid_token"' }),
      })
      response.end(bytes)
    })
  }
}

module.exports = { SERVICE_PREFIX, createService, isServicePath }
