// Owns the way to the native side: where the generated loader finds nothing that it can load, one error says why.
'use strict'

try {
  module.exports = require('../binding.js')
} catch (error) {
  throw require('./load-error.js').toLoadError(error)
}
