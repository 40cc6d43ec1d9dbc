// Owns loading the addon, and the errors that say why it cannot be loaded.
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

/** The ends of targets. On Linux, trying both takes less time than finding out which C library Node uses. */
const ENDINGS = { __proto__: null, linux: ['-gnu', '-musl'], win32: ['-msvc'] }

/** The `code`, or else the `name`, of the errors of Node and Deno where a flag or a permission forbids addons. */
const REFUSALS = ['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED', 'NotCapable']

const REINSTALL = 'delete node_modules and package-lock.json and run npm install on this one'

function load() {
  // As for every addon that napi-rs builds, the environment may name another one.
  const named = nodeVariable(VARIABLE)
  if (named !== undefined) return loadNamed(named)
  const { arch, platform } = process
  const errors = { __proto__: null }
  for (const ending of ENDINGS[platform] ?? ['']) {
    const target = `${platform}-${arch}${ending}`
    errors[target] = []
    // An addon that was built here takes precedence. `existsSync` is faster than a `require` that fails, but may be a mock.
    const isBuilt = existsSync(`${__dirname}/../xkit-node.${target}.node`)
    const installed = isBuilt ? undefined : requireAddon(target, false, errors[target])
    const found = installed ?? requireAddon(target, true, errors[target])
    if (found !== undefined) return found
  }
  throw explain(errors)
}

function loadNamed(file) {
  try {
    return require(file)
  } catch (error) {
    const message = `The binary that ${VARIABLE} names in the environment cannot be loaded: ${firstLine(error)}. Remove that variable, unless you mean it.`
    throw loadError('ERR_XKIT_BINARY_NOT_LOADED', message, error)
  }
}

/**
 * Each `require` is literal, so that @vercel/nft and bundlers can follow it, and directly inside of `try`, where bundlers allow a
 * package that is not installed.
 */
function requireAddon(target, isBuilt, errors) {
  try {
    switch (target) {
      case 'darwin-arm64':
        return isBuilt ? require('../xkit-node.darwin-arm64.node') : require('xkit-node-darwin-arm64')
      case 'darwin-x64':
        return isBuilt ? require('../xkit-node.darwin-x64.node') : require('xkit-node-darwin-x64')
      case 'linux-arm64-gnu':
        return isBuilt ? require('../xkit-node.linux-arm64-gnu.node') : require('xkit-node-linux-arm64-gnu')
      case 'linux-arm64-musl':
        return isBuilt ? require('../xkit-node.linux-arm64-musl.node') : require('xkit-node-linux-arm64-musl')
      case 'linux-x64-gnu':
        return isBuilt ? require('../xkit-node.linux-x64-gnu.node') : require('xkit-node-linux-x64-gnu')
      case 'linux-x64-musl':
        return isBuilt ? require('../xkit-node.linux-x64-musl.node') : require('xkit-node-linux-x64-musl')
      case 'win32-arm64-msvc':
        return isBuilt ? require('../xkit-node.win32-arm64-msvc.node') : require('xkit-node-win32-arm64-msvc')
      case 'win32-x64-msvc':
        return isBuilt ? require('../xkit-node.win32-x64-msvc.node') : require('xkit-node-win32-x64-msvc')
      default:
        return undefined
    }
  } catch (error) {
    errors.push(error)
    return undefined
  }
}

function explain(errors) {
  const { target, title } = currentPlatform()
  const causes = errors[target] ?? []
  const cause = causes.find(({ code }) => code !== 'MODULE_NOT_FOUND') ?? causes[0]
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

/** The `target` is the end of the platform package's name; the `title` is for messages. */
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
  // Other runtimes may have no report; they are mostly built for glibc.
  if (process.report?.getReport === undefined) return '(version unknown)'
  // Otherwise the report looks up the names of all peers on the network.
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime
}

const binding = load()

module.exports = { binding }
