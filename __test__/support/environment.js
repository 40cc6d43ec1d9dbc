// Owns the end of a test file: collect-secrets.js patches what outlives the file, and jest runs no hook of a file whose
// tests are all skipped.
'use strict'

const { TestEnvironment } = require('jest-environment-node')

module.exports = class extends TestEnvironment {
  async teardown() {
    this.global.stopCollectingSecrets?.()
    await super.teardown()
  }
}
