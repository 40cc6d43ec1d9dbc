// Owns reading a command line, and the messages about a wrong one.
'use strict'

const { parseArgs } = require('node:util')
const { OWNER_KINDS, requireId } = require('../lib/checks.js')

class UsageError extends Error {
  constructor(message, command = 'xkit') {
    super(message)
    this.command = command
  }
}

/** Takes `options` as node:util does. Messages never repeat a value, which may be a key in the wrong place. */
function readArguments(command, args, options) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...options,
        'env-file': { type: 'string', multiple: true },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    const [, option] = /^Unknown option '([^']*)'/.exec(error.message) ?? []
    const reason =
      option === undefined
        ? error.message.split('\n', 1)[0]
        : `unknown option '${option}'; an argument that begins with a dash goes behind --`
    throw new UsageError(reason, command)
  }
}

/** The owner kind whose flag is set, or undefined. */
function onlyKind(command, values) {
  const kinds = OWNER_KINDS.filter(kind => values[kind] !== undefined)
  if (kinds.length > 1) {
    throw new UsageError(`--${kinds[0]} and --${kinds[1]} exclude each other`, command)
  }
  return kinds[0]
}

/** Checks an owner's id or a slug as the client does, and names it in messages as the user knows it. */
function readId(command, name, text) {
  try {
    return requireId(name, text)
  } catch (error) {
    throw new UsageError(error.message, command)
  }
}

module.exports = { UsageError, onlyKind, readArguments, readId }
