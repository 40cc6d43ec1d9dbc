// Owns the connection as users see it, with a token that no copy and no output holds.
'use strict'

// Without this, `inspect` can be told to show hidden fields and the values of getters.
const INSPECT = Symbol.for('nodejs.util.inspect.custom')
const INSPECTED = {
  value() {
    return { ...this }
  },
}

/**
 * The connection that native code reports. The token is readable through a getter that is not enumerable, so that a copy, JSON and
 * printed output do not hold it.
 */
function toConnection(native) {
  const { accessToken, expiresAtMs, ...connection } = native
  if (accessToken === undefined) return connection
  if (expiresAtMs !== undefined) connection.expiresAt = new Date(expiresAtMs)
  Object.defineProperty(connection, 'accessToken', { get: () => accessToken })
  return Object.defineProperty(connection, INSPECT, INSPECTED)
}

module.exports = { toConnection }
