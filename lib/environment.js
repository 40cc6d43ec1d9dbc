// Owns what is read from the process: keys, addresses, proxies, and the certificates that Node itself trusts.
'use strict'

const { readFileSync } = require('node:fs')

const PROXY_VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']
const NO_PROXY_VARIABLES = ['NO_PROXY', 'no_proxy']

/** The variable's value; an empty one counts as unset, as it does for other tools. */
function variable(name) {
  return process.env[name] || undefined
}

/** The proxy that the environment names, with the hosts it is not for. */
function environmentProxy() {
  const name = PROXY_VARIABLES.find(variable)
  if (name === undefined) return undefined
  const noProxy = NO_PROXY_VARIABLES.map(variable).find(Boolean) ?? ''
  return { __proto__: null, url: variable(name), variable: name, noProxy }
}

/** All that Node trusts; known since Node 22.15 and 23.10. Loading `node:tls` takes time, so not in vain. */
function nodeCertificates() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 22 || (major === 22 && minor < 15)) return undefined
  return require('node:tls').getCACertificates?.('default')
}

/**
 * What Node trusts besides its built-in roots, as `fetch` does: `NODE_EXTRA_CA_CERTS` and, where Node is told to use
 * it, the system's store. `undefined` for an ordinary set, which costs nothing.
 */
function nodeRoots() {
  const extraFile = variable('NODE_EXTRA_CA_CERTS')
  const flags = `${process.env.NODE_OPTIONS ?? ''} ${process.execArgv.join(' ')}`
  const isSystem = variable('NODE_USE_SYSTEM_CA') === '1' || /--use-(system|openssl)-ca/.test(flags)
  if (extraFile === undefined && !isSystem) return undefined
  const known = nodeCertificates()
  const pem = [...(known ?? [])]
  if (extraFile !== undefined) {
    try {
      pem.push(readFileSync(extraFile, 'latin1'))
    } catch {
      // Node itself has warned of it at its start and goes on without.
    }
  }
  return { __proto__: null, pem, isComplete: known !== undefined }
}

module.exports = { environmentProxy, nodeRoots, variable }
