// Owns the catalog's routes: which page a path shows, and which clicks may change a connection.
'use strict'

const { CATALOG_CSP, connectorPage, homePage } = require('./catalog-page.js')
const { OWNER_KINDS, requireId } = require('../lib/checks.js')

const MAX_FORM_BYTES = 16 * 1024

/** What each button does to a connection's state. The token stays, except that a repair brings a new one. */
const ACTIONS = new Map([
  ['enable', state => ({ ...healthy(state), accessToken: state.accessToken })],
  ['disable', state => ({ ...state, enabled: false })],
  [
    'break',
    state => ({
      ...state,
      enabled: true,
      status: 'error',
      errorCode: 'emulated_error',
      errorMessage: 'The connection was broken in the emulated catalog',
    }),
  ],
  ['repair', healthy],
])

function healthy({ expiresIn }) {
  return { enabled: true, status: 'active', expiresIn }
}

function send(response, status, contentType, body, headers = {}) {
  response.writeHead(status, {
    'content-type': `${contentType}; charset=utf-8`,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(body)
}

function sendText(response, status, text, headers) {
  send(response, status, 'text/plain', `${text}\n`, headers)
}

function sendPage(response, html) {
  send(response, 200, 'text/html', html, { 'content-security-policy': CATALOG_CSP })
}

function redirect(response, location) {
  response.writeHead(303, { location, 'content-length': 0 }).end()
}

/** A page of another origin can post a form to this host, but the browser then names that origin. */
function isOwnPost({ headers: { host, origin } }) {
  return origin === undefined || origin === new URL(`http://${host}`).origin
}

/** The fields of a posted form, or undefined if it is longer than any form of these pages. */
async function readForm(request) {
  const chunks = []
  let length = 0
  // Reads to the end even if the form is too long: breaking off would close the connection before the answer.
  for await (const chunk of request) {
    length += chunk.length
    if (length <= MAX_FORM_BYTES) chunks.push(chunk)
  }
  return length > MAX_FORM_BYTES ? undefined : new URLSearchParams(Buffer.concat(chunks).toString())
}

function nameOf({ kind, id }) {
  return `${kind}:${id}`
}

function createCatalog({ store, layout }) {
  function connectorPath(slug, filters, changed) {
    const query = filters.map(({ kind, id }) => [kind, id])
    if (changed) query.push(['changed', nameOf(changed)])
    return layout.pathOf(slug, query)
  }

  function showHome(response) {
    const owners = store.listOwners().map(owner => ({
      ...owner,
      connections: owner.slugs.map(slug => ({
        slug,
        path: connectorPath(slug, [owner]),
        connection: store.findConnection(owner, slug),
      })),
    }))
    sendPage(response, homePage(owners))
  }

  /** `changed` names the owner whose button was clicked. The page announces its current state, not the click. */
  function showConnector(response, slug, filters, changed) {
    const wanted = owner => filters.some(({ kind, id }) => kind === owner.kind && id === owner.id)
    const owners = store
      .listOwners()
      .filter(owner => filters.length === 0 || wanted(owner))
      .map(owner => ({
        ...owner,
        connection: store.findConnection(owner, slug),
        isChanged: nameOf(owner) === changed,
      }))
    const narrowed = filters.length > 0
    sendPage(response, connectorPage({ slug, owners, narrowed, action: connectorPath(slug, filters) }))
  }

  async function change(request, response, slug, filters) {
    if (!isOwnPost(request)) {
      sendText(response, 403, 'Only a page of this catalog may change a connection', { connection: 'close' })
      return
    }
    const form = await readForm(request)
    if (form === undefined) {
      sendText(response, 413, 'The form is too long')
      return
    }
    const owner = { kind: form.get('kind'), id: form.get('id') }
    const action = ACTIONS.get(form.get('action'))
    if (action === undefined || !OWNER_KINDS.includes(owner.kind)) {
      sendText(response, 400, 'The form names no known action or kind of owner')
      return
    }
    if (!store.hasOwner(owner)) {
      sendText(response, 404, 'No such owner')
      return
    }
    const { number, expiresAt, ...state } = store.findConnection(owner, slug) ?? { enabled: false }
    store.setConnection(owner, slug, action({ status: 'active', ...state }))
    redirect(response, connectorPath(slug, filters, owner))
  }

  function handleConnector(request, response, encodedSlug, query) {
    let slug
    try {
      slug = requireId('slug', decodeURIComponent(encodedSlug))
    } catch {
      sendText(response, 400, 'The path names no valid slug')
      return undefined
    }
    const filters = [...query]
      .filter(([kind]) => OWNER_KINDS.includes(kind))
      .map(([kind, id]) => ({ kind, id }))
    if (request.method === 'POST') return change(request, response, slug, filters)
    return showConnector(response, slug, filters, query.get('changed'))
  }

  function route(request, response) {
    const [path, search = ''] = request.url.split(/\?(.*)/s, 2)
    const query = new URLSearchParams(search)
    const isForm = path === '/connectors'
    const isFirstPage = path === '/' || layout.isFirstPage(path)
    const encodedSlug = isForm || isFirstPage ? undefined : layout.slugAt(path, query)
    if (!(isForm || isFirstPage || encodedSlug !== undefined)) return sendText(response, 404, 'No such page')
    const methods = encodedSlug === undefined ? ['GET', 'HEAD'] : ['GET', 'HEAD', 'POST']
    if (!methods.includes(request.method)) {
      return sendText(response, 405, 'Method not allowed', { allow: methods.join(', ') })
    }
    if (encodedSlug !== undefined) return handleConnector(request, response, encodedSlug, query)
    const slug = query.get('slug')?.trim()
    // An HTML form cannot put a field into the path, so the first page's form posts here and is redirected.
    if (isForm) return redirect(response, slug ? connectorPath(slug, []) : '/')
    return showHome(response)
  }

  return async function handleCatalog(request, response) {
    try {
      await route(request, response)
    } catch (error) {
      // The browser may have left in the middle of its form; then nobody waits for an answer.
      if (request.socket.destroyed || response.headersSent) return
      sendText(response, 500, `The emulator failed: ${error.message}`, { connection: 'close' })
    }
  }
}

module.exports = { createCatalog }
