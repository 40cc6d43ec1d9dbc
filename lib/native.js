// Owns the way to the native side: the one loader of the addon, and the one place that says why it cannot be loaded.
'use strict'

const { existsSync } = require('node:fs')
const { nodeVariable } = require('./environment.js')

const PREFIX = 'xkit-node-'
const VARIABLE = 'NAPI_RS_NATIVE_LIBRARY_PATH'

const TARGETS = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-arm64-msvc',
  'win32-x64-msvc',
]

/** How the names of binaries end. On Linux, to try both takes less time than to find out which C library there is. */
const ENDINGS = { __proto__: null, linux: ['-gnu', '-musl'], win32: ['-msvc'] }

/** The `code`, or else the `name`, of what Node and Deno throw where they are told to load no addon. */
const REFUSALS = ['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED', 'NotCapable']

const REINSTALL = 'delete node_modules and package-lock.json and run npm install on this one'

function load() {
  // As for every addon that napi-rs builds, the environment may name another one.
  const named = nodeVariable(VARIABLE)
  if (named !== undefined) return loadNamed(named)
  const { arch, platform } = process
  const causes = new Map()
  for (const ending of ENDINGS[platform] ?? ['']) {
    const target = `${platform}-${arch}${ending}`
    const { binding, error } = requireTarget(target)
    if (binding !== undefined) return binding
    causes.set(target, error)
  }
  const { target, title } = currentPlatform()
  throw explain(target, title, causes.get(target))
}

function loadNamed(file) {
  try {
    return require(file)
  } catch (error) {
    const message = `The binary that ${VARIABLE} names in the environment cannot be loaded: ${firstLine(error)}. Remove that variable, unless you mean it.`
    throw loadError('ERR_XKIT_BINARY_NOT_LOADED', message, error)
  }
}

/** An addon that was built here wins. `existsSync` spares a failed `require`, and may be a mock that finds nothing. */
function requireTarget(target) {
  if (existsSync(`${__dirname}/../xkit-node.${target}.node`)) return requireBuilt(target)
  const installed = requirePackage(target)
  if (installed.error?.code !== 'MODULE_NOT_FOUND') return installed
  const built = requireBuilt(target)
  return built.error?.code === 'MODULE_NOT_FOUND' ? installed : built
}

// In the next two, each call is literal and inside of `try`: that is what @vercel/nft and bundlers can follow, and where they
// forgive a package that is not installed.

function requirePackage(target) {
  try {
    switch (target) {
      case 'darwin-arm64':
        return { binding: require('xkit-node-darwin-arm64') }
      case 'darwin-x64':
        return { binding: require('xkit-node-darwin-x64') }
      case 'linux-arm64-gnu':
        return { binding: require('xkit-node-linux-arm64-gnu') }
      case 'linux-arm64-musl':
        return { binding: require('xkit-node-linux-arm64-musl') }
      case 'linux-x64-gnu':
        return { binding: require('xkit-node-linux-x64-gnu') }
      case 'linux-x64-musl':
        return { binding: require('xkit-node-linux-x64-musl') }
      case 'win32-arm64-msvc':
        return { binding: require('xkit-node-win32-arm64-msvc') }
      case 'win32-x64-msvc':
        return { binding: require('xkit-node-win32-x64-msvc') }
      default:
        return {}
    }
  } catch (error) {
    return { error }
  }
}

function requireBuilt(target) {
  try {
    switch (target) {
      case 'darwin-arm64':
        return { binding: require('../xkit-node.darwin-arm64.node') }
      case 'darwin-x64':
        return { binding: require('../xkit-node.darwin-x64.node') }
      case 'linux-arm64-gnu':
        return { binding: require('../xkit-node.linux-arm64-gnu.node') }
      case 'linux-arm64-musl':
        return { binding: require('../xkit-node.linux-arm64-musl.node') }
      case 'linux-x64-gnu':
        return { binding: require('../xkit-node.linux-x64-gnu.node') }
      case 'linux-x64-musl':
        return { binding: require('../xkit-node.linux-x64-musl.node') }
      case 'win32-arm64-msvc':
        return { binding: require('../xkit-node.win32-arm64-msvc.node') }
      case 'win32-x64-msvc':
        return { binding: require('../xkit-node.win32-x64-msvc.node') }
      default:
        return {}
    }
  } catch (error) {
    return { error }
  }
}

function explain(target, title, cause) {
  if (!TARGETS.includes(target)) {
    const message = `xkit-node does not support ${title}. There are binaries for ${TARGETS.join(', ')}: run Node.js on one of these.`
    return loadError('ERR_XKIT_UNSUPPORTED_PLATFORM', message, cause)
  }
  if (cause.code === 'MODULE_NOT_FOUND') {
    const message =
      `The package ${PREFIX}${target}, which holds the binary of xkit-node for ${title}, is not installed. Install ` +
      `without --omit=optional. If node_modules or the lockfile was made on another platform, ${REINSTALL}. If a ` +
      'bundler packed your code, leave xkit-node external and install it where the bundle runs.'
    return loadError('ERR_XKIT_BINARY_MISSING', message, cause)
  }
  const remedy = REFUSALS.includes(cause.code ?? cause.name)
    ? 'This process is not allowed to: let Node.js do it by --allow-addons and --allow-fs-read beside --permission, ' +
      'and without --no-addons, or Deno by --allow-ffi and --allow-read'
    : 'If that names a version of a library, run it on a newer system; if it names a segment that cannot be mapped, ' +
      `install it where the file system is not mounted with noexec; if it was installed on another platform, ${REINSTALL}`
  const message = `The binary of xkit-node for ${title} cannot be loaded: ${firstLine(cause)}. ${remedy}.`
  return loadError('ERR_XKIT_BINARY_NOT_LOADED', message, cause)
}

function firstLine({ message }) {
  const line = message.split('\n', 1)[0].trim()
  return line.endsWith('.') ? line.slice(0, -1) : line
}

function loadError(code, message, cause) {
  return Object.assign(new Error(message, cause && { cause }), { code })
}

/** The `target` ends the name of the platform package; the `title` is for people. */
function currentPlatform() {
  const { platform, arch } = process
  const title = `${platform} ${arch}`
  if (platform !== 'linux') return { target: `${platform}-${arch}${ENDINGS[platform]?.[0] ?? ''}`, title }
  const glibc = glibcVersion()
  return glibc === undefined
    ? { target: `linux-${arch}-musl`, title: `${title} with musl` }
    : { target: `linux-${arch}-gnu`, title: `${title} with glibc ${glibc}` }
}

/** Undefined where Node was built for musl. */
function glibcVersion() {
  // A runtime that is not Node may have no report; those are built for glibc first of all.
  if (process.report?.getReport === undefined) return '(version unknown)'
  // The report would otherwise look up the names of peers on the network.
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime
}

module.exports = load()
