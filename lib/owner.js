// Owns reading an owner: a user, a group or a context, each with its own space of ids.
'use strict'

const {
  invalidType,
  invalidValue,
  isObject,
  kindOf,
  ownFields,
  refuseNumber,
  requireId,
  requireText,
} = require('./checks.js')

const OWNER_KINDS = ['user', 'group', 'context']

/** `'u1'`, `{ user: 'u1' }`, `{ group: 'acme' }` or `{ context: 'c1' }` as `{ kind, id }`. The id is not checked. */
function namedOwner(name, owner) {
  if (typeof owner === 'string') return { kind: 'user', id: owner }
  refuseNumber(name, owner)
  if (!isObject(owner)) {
    const forms = "a user's id as a string, or { user: id }, { group: id } or { context: id }"
    throw invalidType(`${name} must be ${forms}, but is ${kindOf(owner)}`)
  }
  const plain = plainOwner(owner)
  if (plain !== undefined) return plain
  const fields = ownFields(name, owner, OWNER_KINDS)
  const kinds = Object.keys(fields)
  if (kinds.length !== 1) {
    throw invalidValue(
      `${name} must name exactly one of: ${OWNER_KINDS.join(', ')}; undefined fields do not count`,
    )
  }
  const [kind] = kinds
  refuseNumber(`${name}.${kind}`, fields[kind])
  return { kind, id: fields[kind] }
}

/** Reads the usual form without a copy, since every cached hit reads one; `undefined` for any other form. */
function plainOwner(owner) {
  try {
    const [kind, ...others] = Object.keys(owner)
    if (others.length > 0 || !OWNER_KINDS.includes(kind)) return undefined
    const id = owner[kind]
    return typeof id === 'string' ? { kind, id } : undefined
  } catch {
    return undefined
  }
}

/** The owner of a call. The native client checks the id, and needs no check for a lease. */
const readOwner = owner => namedOwner('owner', owner)

/** The group of a call, by its id. */
function readGroup(groupId) {
  refuseNumber('groupId', groupId)
  return { kind: 'group', id: requireText('groupId', groupId) }
}

/** As `namedOwner`, with a valid id. */
function parseOwner(name, owner) {
  const { kind, id } = namedOwner(name, owner)
  return { kind, id: requireId(typeof owner === 'string' ? name : `${name}.${kind}`, id) }
}

module.exports = { OWNER_KINDS, parseOwner, readGroup, readOwner }
