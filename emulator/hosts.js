// Owns which hosts the emulator answers for. It defends against DNS rebinding: the browser sends the name in the page's URL,
// so a page whose own name resolves to this address is refused here. An IP address cannot be rebound.
'use strict'

const { isIP } = require('node:net')
const { invalidType, invalidValue, requireString } = require('../lib/checks.js')

const REFUSAL = JSON.stringify({
  error:
    'The emulator does not answer for this host; start it with the option allowedHosts or the flag --allow-host',
})
const MAX_WARNINGS = 10

/** A host as URLs spell it, without port and final dot; undefined if `host` is not one. */
function hostnameOf(host) {
  if (host === undefined) return undefined
  let url
  try {
    url = new URL(`http://${host}`)
  } catch {
    return undefined
  }
  // Otherwise it held more than a host: a user, a path, a query or a fragment.
  return url.href === `http://${url.host}/` ? url.hostname.replace(/\.$/, '') : undefined
}

function isAddress(hostname) {
  return isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0
}

/** A host name, as `hostnameOf` spells it. */
function readAllowedHost(name, value) {
  requireString(name, value)
  const hostname = /[:*]/.test(value) ? undefined : hostnameOf(value)
  if (hostname === undefined) throw invalidValue(`${name} must be the name of a host, without a port`)
  return hostname
}

function readAllowedHosts(name, value) {
  if (!Array.isArray(value)) throw invalidType(`${name} must be an array of names of hosts`)
  return value.map((host, index) => readAllowedHost(`${name}[${index}]`, host))
}

/** Returns a function that returns true for a request to one of the emulator's own hosts, and answers any other with 421. */
function createHostCheck(allowed) {
  const warned = new Set()

  function isOwn(hostname) {
    return (
      isAddress(hostname) ||
      hostname === 'localhost' ||
      hostname.endsWith('.localhost') ||
      allowed.includes(hostname)
    )
  }

  function warnOnce(hostname) {
    if (warned.has(hostname) || warned.size === MAX_WARNINGS) return
    warned.add(hostname)
    process.emitWarning(
      `The emulator refused a request for the host "${hostname}"; add it to allowedHosts (--allow-host) if it is meant`,
      { code: 'XKIT_EMULATOR_HOST' },
    )
  }

  return function admit(request, response) {
    const hostname = hostnameOf(request.headers.host)
    if (hostname !== undefined && isOwn(hostname)) return true
    if (hostname !== undefined) warnOnce(hostname)
    request.resume()
    response.writeHead(421, {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    })
    response.end(REFUSAL)
    return false
  }
}

module.exports = { createHostCheck, readAllowedHost, readAllowedHosts }
