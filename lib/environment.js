// Owns reading the process: its variables, the proxy that they name, and the certificates that Node trusts.
'use strict'

const { readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')
const { invalidValue } = require('./checks.js')

/** The path templates, by the kind of owner. */
const PATH_VARIABLES = { user: 'XKIT_USER_PATH', group: 'XKIT_GROUP_PATH', context: 'XKIT_CONTEXT_PATH' }
const PROXY_VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']
const NO_PROXY_VARIABLES = ['NO_PROXY', 'no_proxy']
/** Node resolves relative paths when it starts, before the process can change its folder, which may also be removed. */
const STARTED_IN = attempt(() => process.cwd(), '/')

/**
 * The value of a variable. A blank value counts as unset: an empty secret file leaves one. Nothing else reads the environment,
 * since `process.env[name]` would also find a field of a polluted `Object.prototype`.
 */
function variable(name) {
  const value = Object.hasOwn(process.env, name) ? process.env[name] : ''
  return value.trim() === '' ? undefined : value
}

const CAP_NET_BIND_SERVICE = 1n << 10n

/**
 * Whether this program has more rights than the user who started it, by setuid, setgid or Linux file capabilities. Node asks the
 * kernel (AT_SECURE). Like Node, this allows a program that may only bind low ports.
 */
function isPrivileged() {
  try {
    if (process.getuid() !== process.geteuid() || process.getgid() !== process.getegid()) return true
    if (process.platform !== 'linux' || process.getuid() === 0) return false
  } catch {
    // Windows has no such programs, and Deno may refuse the answer.
    return false
  }
  const [status = ''] = readFiles(['/proc/self/status'])
  const setOf = name => BigInt(`0x${status.match(`${name}:\\s*(\\w+)`)?.[1] ?? 0}`)
  const permitted = setOf('CapPrm')
  return permitted !== CAP_NET_BIND_SERVICE && (permitted & ~setOf('CapAmb')) !== 0n
}

/** A variable that decides which code runs or whom Node trusts. As Node does, we ignore it in a privileged program. */
function nodeVariable(name) {
  const value = variable(name)
  return value !== undefined && isPrivileged() ? undefined : value
}

/** `XKIT_HTTP2=0` offers HTTP/1.1 alone, where the code cannot be changed; `1` offers HTTP/2 too. */
function environmentHttp2() {
  const value = variable('XKIT_HTTP2')?.trim()
  if (value === undefined) return undefined
  if (value !== '0' && value !== '1') throw invalidValue('XKIT_HTTP2 must be 0 or 1')
  return value === '1'
}

/** The proxy that the environment names, with the hosts it is not for. */
function environmentProxy() {
  const name = PROXY_VARIABLES.find(variable)
  if (name === undefined) return undefined
  const noProxy = NO_PROXY_VARIABLES.map(variable).find(Boolean) ?? ''
  return { __proto__: null, url: variable(name), variable: name, noProxy }
}

/** Whether this is Node `major.minor` or newer. */
function isNodeFrom(major, minor) {
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}

/** All certificates that Node trusts, with those of `NODE_EXTRA_CA_CERTS`. Node lists them from 22.15 and 23.10 on. */
function knownCertificates() {
  if (!isNodeFrom(22, 15)) return []
  // Loaded only here, since loading this module of Node takes time.
  return require('node:tls').getCACertificates?.('default') ?? []
}

/** Whether `tls.setDefaultCACertificates` was called. Without a loaded `node:tls` it was not. */
function hasOwnDefault() {
  if (process.moduleLoadList?.includes('NativeModule tls') !== true) return false
  const { rootCertificates } = require('node:tls')
  const known = knownCertificates()
  return known.length > 0 && !known.every((certificate, index) => certificate === rootCertificates[index])
}

/** The certificates of `--use-openssl-ca`. */
function opensslCertificates() {
  const file = nodeVariable('SSL_CERT_FILE')
  const folders = nodeVariable('SSL_CERT_DIR')?.split(path.delimiter) ?? []
  const files = folders.flatMap(folder =>
    attempt(() => readdirSync(folder), []).map(name => path.join(folder, name)),
  )
  return readFiles(file === undefined ? files : [file, ...files])
}

/**
 * The texts of the files that can be read; Node has warned about the others. They hold ASCII, and UTF-8 is read in a tenth of the
 * time of other encodings.
 */
function readFiles(files) {
  return files.flatMap(file => attempt(() => [readFileSync(path.resolve(STARTED_IN, file), 'utf8')], []))
}

function attempt(work, otherwise) {
  try {
    return work()
  } catch {
    return otherwise
  }
}

/**
 * The roots that Node, and so `fetch`, trusts besides its built-in ones or instead of them: those of `NODE_EXTRA_CA_CERTS`, of
 * the store that Node is configured to use, and of `tls.setDefaultCACertificates`. `undefined` if nothing is configured. An
 * empty list never replaces the built-in roots, since Node may list none with `--use-openssl-ca`.
 */
function nodeRoots() {
  const extraFile = nodeVariable('NODE_EXTRA_CA_CERTS')
  const flags = `${nodeVariable('NODE_OPTIONS') ?? ''} ${process.execArgv.join(' ')}`
  const isOpenssl = flags.includes('--use-openssl-ca')
  const isSystem = nodeVariable('NODE_USE_SYSTEM_CA') === '1' || flags.includes('--use-system-ca')
  if (extraFile === undefined && !isOpenssl && !isSystem && !hasOwnDefault()) return undefined
  const extra = extraFile === undefined ? [] : readFiles([extraFile])
  const chosen = isOpenssl ? opensslCertificates() : knownCertificates()
  return { __proto__: null, pem: [...chosen, ...extra], isComplete: chosen.length > 0 }
}

module.exports = {
  PATH_VARIABLES,
  environmentHttp2,
  environmentProxy,
  isNodeFrom,
  nodeRoots,
  nodeVariable,
  variable,
}
