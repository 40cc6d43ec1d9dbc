// Owns what the command says of an error: one line that is safe to print, with the code.
'use strict'

const { isXkitError } = require('../lib/errors.js')

/** One line, whatever a server put into it: no control characters, hence no terminal sequences. */
function clean(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
}

/** What happened and what to do, then what to search and to quote: code, cause, request id. */
function describe(error) {
  const details = [error.code]
  if (isXkitError(error)) {
    details.push(error.cause?.message, error.requestId && `request id ${error.requestId}`)
  }
  const known = details.filter(Boolean)
  // Errors of Node and of the addon's loader may go on for lines; the first says it.
  const [message] = String(error.message).split('\n', 1)
  return clean(known.length === 0 ? message : `${message} (${known.join('; ')})`)
}

function printError(...lines) {
  process.stderr.write(lines.map(line => `xkit: ${line}\n`).join(''))
}

module.exports = { clean, describe, printError }
