// Owns the end of a mutant's run: once a test has failed, the mutant is found, and the tests that are left are skipped. Stryker
// runs them all, since jest has no `bail` there (https://github.com/jestjs/jest/issues/11766).
'use strict'

const StrykerEnvironment = require('@stryker-mutator/jest-runner/jest-env/node')

/** The mutant that a test has found. It may be the same for several test files; the first run has none, and runs all tests. */
let found

const activeMutant = () => process.env.__STRYKER_ACTIVE_MUTANT__

module.exports = class extends StrykerEnvironment {
  constructor(...args) {
    super(...args)
    const { handleTestEvent } = this
    this.handleTestEvent = async (event, state) => {
      await handleTestEvent(event, state)
      if (activeMutant() === undefined) return
      if (event.name === 'test_start' && activeMutant() === found) event.test.mode = 'skip'
      if (event.name === 'test_done' && event.test.errors.length > 0) found = activeMutant()
    }
  }
}
