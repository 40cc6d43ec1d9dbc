// Owns what the commands print: lines without control characters, and an error as one line with its code.
'use strict'

const { isXkitError } = require('../lib/errors.js')

/** What a terminal acts upon instead of showing it: controls, line breaks, and marks that change the direction of text. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu

/** One line that a terminal shows as it is, whatever a server or a file put into the text. */
function clean(text) {
  return text.replace(INVISIBLE, ' ').trim()
}

/** JSON that a terminal shows as it is: the same value, with every invisible character escaped. */
function toJson(value) {
  const escaped = codeUnit => `\\u${codeUnit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(INVISIBLE, run => run.split('').map(escaped).join(''))
}

function hasInvisible(text) {
  return text.search(INVISIBLE) !== -1
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
  process.stderr.write(lines.map(line => `xkit: ${clean(line)}\n`).join(''))
}

module.exports = { clean, describe, hasInvisible, printError, toJson }
