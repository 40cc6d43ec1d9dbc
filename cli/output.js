// Owns what the commands print: lines without control characters, and an error as one line with its code.
'use strict'

const { isXkitError } = require('../lib/errors.js')

/** Characters that a terminal obeys instead of showing: controls, line breaks, and marks that change the direction of text. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu

/** Makes one line that is safe to print of any text, whoever wrote it. */
function clean(text) {
  return text.replace(INVISIBLE, ' ').trim()
}

/** JSON that is safe to print: the same value, with every invisible character escaped. */
function toJson(value) {
  const escaped = codeUnit => `\\u${codeUnit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(INVISIBLE, run => run.split('').map(escaped).join(''))
}

function hasInvisible(text) {
  return text.search(INVISIBLE) !== -1
}

/** An error's message, then its code, cause and request id, for a search or a report. */
function describe(error) {
  const details = [error.code]
  if (isXkitError(error)) {
    details.push(error.cause?.message, error.requestId && `request id ${error.requestId}`)
  }
  const known = details.filter(Boolean)
  // Errors of Node and of the addon's loader may have many lines; the first one says what happened.
  const [message] = String(error.message).split('\n', 1)
  return clean(known.length === 0 ? message : `${message} (${known.join('; ')})`)
}

function printError(...lines) {
  process.stderr.write(lines.map(line => `xkit: ${clean(line)}\n`).join(''))
}

module.exports = { clean, describe, hasInvisible, printError, toJson }
