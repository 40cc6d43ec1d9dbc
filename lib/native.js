// Owns the way to the native side. Where that cannot be loaded, one error says why.
'use strict'

const { existsSync } = require('node:fs')
const path = require('node:path')

const ABI = { __proto__: null, darwin: '', linux: '-gnu', win32: '-msvc' }

/**
 * What the generated loader would find on most systems, tried before it: to read that takes longer than to load the
 * addon. `undefined` where it is not there, and the loader knows what else to look for.
 */
function loadUsual() {
  const { arch, env, platform } = process
  if (env.NAPI_RS_NATIVE_LIBRARY_PATH || !(platform in ABI)) return undefined
  const target = `${platform}-${arch}${ABI[platform]}`
  const built = path.join(__dirname, '..', `xkit-node.${target}.node`)
  try {
    return require(existsSync(built) ? built : `xkit-node-${target}`)
  } catch {
    return undefined
  }
}

function load() {
  try {
    return loadUsual() ?? require('../binding.js')
  } catch (error) {
    throw require('./load-error.js').toLoadError(error)
  }
}

module.exports = load()
