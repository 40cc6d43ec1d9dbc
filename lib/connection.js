// Owns the shape of a connection as users see it.
'use strict'

// What Node would show of hidden fields otherwise, and of what their getters give.
const INSPECT = Symbol.for('nodejs.util.inspect.custom')
const INSPECTED = {
  value() {
    return { ...this }
  },
}

/**
 * The fields that the native side reports. The token is readable and not enumerable, and behind a getter: whatever
 * copies the connection, writes it as JSON or prints it takes no token along.
 */
function toConnection(native) {
  const { accessToken, expiresAtMs, ...connection } = native
  if (accessToken === undefined) return connection
  if (expiresAtMs !== undefined) connection.expiresAt = new Date(expiresAtMs)
  Object.defineProperty(connection, 'accessToken', { get: () => accessToken })
  return Object.defineProperty(connection, INSPECT, INSPECTED)
}

module.exports = { toConnection }
