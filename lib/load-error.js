// Owns what is said when there is no native side: which platform this is, what is amiss, and what to do.
'use strict'

const PREFIX = 'xkit-node-'

/** How the generated loader, Node, Bun and Deno begin to say that a file is not there. */
const NOT_THERE = /^Cannot find (?:module|package|native binding)/

/** Told by the dynamic linker, of a binary that was built for newer systems. */
const MISSING_GLIBC = /version [`']GLIBC_([\d.]+)' not found/

const REINSTALL =
  'If node_modules or the lockfile was made on another platform, delete node_modules and package-lock.json ' +
  'and run npm install on this one'

function toLoadError(cause) {
  const platform = currentPlatform()
  // Read from the manifest: nothing else has to know the list, and nobody reads it while all is well.
  const packages = Object.keys(require('../package.json').optionalDependencies)
  const name = PREFIX + platform.target
  if (!packages.includes(name)) return unsupported(platform, packages, cause)
  // Oldest first: the loader begins with what fits best.
  const reason = messages(cause).find(message => !NOT_THERE.test(message))
  return reason === undefined ? missing(platform, name, cause) : unusable(platform, reason, cause)
}

function unsupported({ title }, packages, cause) {
  const targets = packages.map(name => name.slice(PREFIX.length)).join(', ')
  return loadError(
    'ERR_XKIT_UNSUPPORTED_PLATFORM',
    `xkit-node does not support ${title}. There are binaries for ${targets}: run Node.js on one of these.`,
    cause,
  )
}

function missing({ title }, name, cause) {
  return loadError(
    'ERR_XKIT_BINARY_MISSING',
    `The package ${name}, which holds the binary of xkit-node for ${title}, is not installed. Install without ` +
      `--omit=optional. ${REINSTALL}. If a bundler packed your code, leave xkit-node external.`,
    cause,
  )
}

function unusable({ title }, reason, cause) {
  const needed = MISSING_GLIBC.exec(reason)?.[1]
  const remedy = needed === undefined ? REINSTALL : `It needs glibc ${needed}: run it on a newer system`
  return loadError(
    'ERR_XKIT_BINARY_NOT_LOADED',
    `The binary of xkit-node for ${title} cannot be loaded: ${reason.split('\n')[0].trim()}. ${remedy}.`,
    cause,
  )
}

function loadError(code, message, cause) {
  return Object.assign(new Error(message, { cause }), { code })
}

/** The `target` ends the name of the platform package; the `title` is for people. */
function currentPlatform() {
  const { platform, arch } = process
  if (platform === 'win32') return { target: `win32-${arch}-msvc`, title: `win32 ${arch}` }
  if (platform !== 'linux') return { target: `${platform}-${arch}`, title: `${platform} ${arch}` }
  const glibc = glibcVersion()
  return glibc === undefined
    ? { target: `linux-${arch}-musl`, title: `linux ${arch} with musl` }
    : { target: `linux-${arch}-gnu`, title: `linux ${arch} with glibc ${glibc}` }
}

/** Undefined where Node was built for musl. */
function glibcVersion() {
  // A runtime that is not Node may have no report; those are built for glibc first of all.
  if (process.report?.getReport === undefined) return '(version unknown)'
  // The report would otherwise look up the names of peers on the network.
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime
}

function messages(error) {
  const found = []
  for (let each = error; typeof each?.message === 'string'; each = each.cause) found.unshift(each.message)
  return found
}

module.exports = { toLoadError }
