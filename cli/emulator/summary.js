// Owns what `xkit-emulator` prints once it runs: addresses, owners, and the variables to set.
'use strict'

const { clean } = require('../output.js')
const { describeState } = require('../../emulator/catalog-page.js')
const { readState } = require('../../emulator/options.js')

const KINDS = { users: 'user', groups: 'group', contexts: 'context' }
const MAX_OWNERS = 20
const MASK = '********'

/** A value may hold what ends it for a shell, or what begins a comment in a file of variables. */
function quoted(value) {
  return /[#&?]/.test(value) ? `'${value}'` : value
}

function ownerLine(kind, id, connections) {
  const states = Object.entries(connections).map(
    ([slug, state]) => `${slug} ${describeState(readState('state', state)).label}`,
  )
  return `  ${clean(`${KINDS[kind]} ${id}: ${states.join(', ') || 'nothing set up'}`)}`
}

function owners(seed) {
  const lines = Object.keys(KINDS).flatMap(kind =>
    Object.entries(seed[kind] ?? {}).map(([id, connections]) => ownerLine(kind, id, connections)),
  )
  if (lines.length === 0) return ['It knows no owner, so it answers 404 for each: name some with --seed.']
  const rest = lines.length - MAX_OWNERS
  return ['It knows:', '', ...lines.slice(0, MAX_OWNERS), ...(rest > 0 ? [`  and ${rest} more`] : [])]
}

/** `given` tells which keys the user chose; those are not printed. */
function summary({ baseUrl, catalogUrl, serviceUrl, publishableKey, secretKey }, seed, given) {
  return `The Xkit emulator is running.

  Platform API  ${baseUrl}
  Catalog       ${catalogUrl}
  Service       ${serviceUrl}/<slug>/… takes the tokens that are valid now

${owners(seed).join('\n')}

Set these in the environment of your program:

XKIT_BASE_URL=${baseUrl}
XKIT_CATALOG_URL=${quoted(catalogUrl)}
XKIT_PUBLISHABLE_KEY=${given.publishableKey ? MASK : publishableKey}
XKIT_SECRET_KEY=${given.secretKey ? MASK : secretKey}

Press Ctrl+C to stop.
`
}

module.exports = { summary }
