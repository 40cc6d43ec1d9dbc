// Owns the shape of a connection as users see it.
'use strict'

/**
 * The fields that the native side reports, with the token behind a getter: `console.log` shows `[Getter]`, and
 * `JSON.stringify` leaves it out, so that a connection that is logged or sent to a browser takes no token along.
 */
function toConnection(native) {
  const { accessToken, expiresAtMs, ...connection } = native
  if (accessToken === undefined) return connection
  if (expiresAtMs !== undefined) connection.expiresAt = new Date(expiresAtMs)
  Object.defineProperty(connection, 'accessToken', { get: () => accessToken, enumerable: true })
  Object.defineProperty(connection, 'toJSON', { value: withoutToken })
  return connection
}

function withoutToken() {
  const { accessToken, ...rest } = this
  return rest
}

module.exports = { toConnection }
