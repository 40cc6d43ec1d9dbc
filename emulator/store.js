// Owns the owners, their connections, and which token of each is valid now.
'use strict'

const { randomBytes } = require('node:crypto')
const clock = require('./clock.js')
const { OWNER_KINDS } = require('../lib/checks.js')

function createStore(seeds) {
  // Maps, not objects, since an id may be `__proto__`.
  const owners = new Map(OWNER_KINDS.map(kind => [kind, new Map()]))
  let lastConnection
  let lastToken = 0

  function inventToken() {
    lastToken += 1
    // The random part makes tokens of two emulators differ, so that a test notices a token kept from another one.
    return `emulated-token-${lastToken}-${randomBytes(6).toString('hex')}`
  }

  function connectionsOf({ kind, id }) {
    return owners.get(kind).get(id)
  }

  function addOwner(owner) {
    const known = connectionsOf(owner)
    if (known) return known
    const connections = new Map()
    owners.get(owner.kind).set(owner.id, connections)
    return connections
  }

  function grant(connection, accessToken) {
    connection.accessToken = accessToken
    connection.isRevoked = false
    connection.isHandedOut = true
    connection.expiresAt =
      connection.expiresIn === undefined ? undefined : clock.now() + connection.expiresIn * 1000
  }

  function isUsable(connection) {
    return connection?.enabled === true && connection.status === 'active'
  }

  function setConnection(owner, slug, state) {
    const connections = addOwner(owner)
    let number = connections.get(slug)?.number
    if (number === undefined) {
      lastConnection += 1
      number = lastConnection
    }
    const connection = { ...state, number }
    const needsToken = state.status === 'active' && state.accessToken === undefined
    grant(connection, needsToken ? inventToken() : state.accessToken)
    connections.set(slug, connection)
  }

  /** The connection as of now, or undefined. The platform refreshes tokens by itself, so this replaces an expired one. */
  function findConnection(owner, slug) {
    const connection = connectionsOf(owner)?.get(slug)
    const isOver = connection?.expiresAt <= clock.now() || connection?.isHandedOut === false
    if (isUsable(connection) && isOver) grant(connection, inventToken())
    return connection
  }

  function requireUsable(method, owner, slug) {
    const connection = connectionsOf(owner)?.get(slug)
    if (isUsable(connection)) return connection
    const reason = `${method}: this owner has no active token for this connector; call setConnection first`
    throw Object.assign(new Error(reason), { code: 'ERR_EMULATOR_NO_ACTIVE_TOKEN' })
  }

  function rotateToken(owner, slug) {
    const connection = requireUsable('rotateToken', owner, slug)
    grant(connection, inventToken())
    return connection.accessToken
  }

  function revokeToken(owner, slug, { keepHandingOut }) {
    const connection = requireUsable('revokeToken', owner, slug)
    connection.isRevoked = true
    connection.isHandedOut = keepHandingOut
  }

  /** The owner of a token that is valid now for this connector, or undefined. */
  function findOwnerOfToken(slug, token) {
    const isValid = connection =>
      isUsable(connection) &&
      !connection.isRevoked &&
      !(connection.expiresAt <= clock.now()) &&
      connection.accessToken === token
    for (const kind of OWNER_KINDS) {
      for (const [id, connections] of owners.get(kind)) {
        if (isValid(connections.get(slug))) return { kind, id }
      }
    }
    return undefined
  }

  function listOwners() {
    return OWNER_KINDS.flatMap(kind =>
      Array.from(owners.get(kind), ([id, connections]) => ({ kind, id, slugs: [...connections.keys()] })),
    )
  }

  /** Restores the seed, with new tokens where it names none. */
  function reset() {
    for (const connections of owners.values()) connections.clear()
    lastConnection = 0
    for (const { owner, connections } of seeds) {
      addOwner(owner)
      for (const { slug, state } of connections) setConnection(owner, slug, state)
    }
  }

  reset()

  return {
    findConnection,
    findOwnerOfToken,
    hasOwner: owner => connectionsOf(owner) !== undefined,
    listOwners,
    reset,
    revokeToken,
    rotateToken,
    setConnection,
  }
}

module.exports = { createStore }
