// Owns the bound handle: one owner's connection to one service, and nothing more, in a form that SDKs take.
'use strict'

const { requireId } = require('./checks.js')
const { parseOwner } = require('./owner.js')

const CALL = ['signal', 'timeoutMs', 'fresh']
const USE = [...CALL, 'isRejected']

/** Its methods need no `this`, and ignore what an SDK passes along that is no option of theirs. */
function bindConnection(client, owner, slug) {
  const { kind, id } = parseOwner('owner', owner)
  requireId('slug', slug)
  const own = typeof owner === 'string' ? owner : Object.freeze({ [kind]: id })
  return Object.freeze({
    owner: own,
    slug,
    getAccessToken: options => client.getAccessToken(own, slug, pick(options, CALL)),
    getConnection: options => client.getConnection(own, slug, pick(options, CALL)),
    withAccessToken: (use, options) => client.withAccessToken(own, slug, use, pick(options, USE)),
    fetch: (input, init) => client.fetch(own, slug, input, init),
    invalidate: token => client.invalidate(own, slug, typeof token === 'string' ? token : undefined),
  })
}

function pick(options, names) {
  if (typeof options !== 'object' || options === null) return undefined
  const own = names.filter(name => Object.hasOwn(options, name))
  if (own.length === 0) return undefined
  return Object.assign(Object.create(null), Object.fromEntries(own.map(name => [name, options[name]])))
}

module.exports = { bindConnection }
