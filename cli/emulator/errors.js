// Owns the exit codes of `xkit-emulator`, and the error that carries one.
'use strict'

const FAILURE = 1
const WRONG_USAGE = 2

class CommandError extends Error {
  constructor(message, exitCode = FAILURE) {
    super(message)
    this.exitCode = exitCode
  }
}

module.exports = { CommandError, FAILURE, WRONG_USAGE }
