// Owns the platform's JSON, in both documented shapes.
'use strict'

const clock = require('./clock.js')

const MARK_URL = 'data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E'

/** A readable name for a slug: `google-calendar` is "Google Calendar". */
function connectorName(slug) {
  const name = slug
    .split(/[-_ ]+/)
    .filter(word => word !== '')
    .map(word => word[0].toUpperCase() + word.slice(1))
    .join(' ')
  return name || slug
}

function connectorBody(slug) {
  const name = connectorName(slug)
  return {
    name,
    slug,
    short_description: `The emulated ${name} connector`,
    mark_url: MARK_URL,
    supports_multiple_connections: false,
  }
}

function authorizationBody(slug, connection, tokenField) {
  const active = connection.status === 'active'
  const body = {
    id: connection.number,
    status: connection.status,
    display_label: 'Emulated account',
    [tokenField]: active ? connection.accessToken : '',
    error_code: connection.errorCode ?? null,
    error_message: connection.errorMessage ?? null,
    authorizer: {
      client_id: 'emulated-client',
      prototype: { name: connectorName(slug), slug },
    },
  }
  if (active && connection.expiresAt !== undefined) {
    // Rounded down, so that a client drops the token early rather than late.
    body.expires_in = Math.max(0, Math.floor((connection.expiresAt - clock.now()) / 1000))
    body.expires_at = new Date(connection.expiresAt).toISOString()
  }
  return body
}

/** The body for an owner whom the emulator knows; `connection` is undefined if the owner has not set up the connector. */
function connectionBody(shape, slug, connection) {
  const nested = shape === 'nested'
  const enabled = connection?.enabled === true
  const own = connection ? { id: `emulated-connection-${connection.number}`, enabled } : { enabled }
  const connector = connectorBody(slug)
  const authorization = enabled
    ? authorizationBody(slug, connection, nested ? 'credential' : 'access_token')
    : null
  return nested
    ? { connection: { ...own, connector, authorization } }
    : { connection: own, connector, authorization }
}

module.exports = { connectionBody, connectorName }
