// Owns the seed file of `xkit-emulator`: its encoding, its JSON, and where a mistake in it stands.
'use strict'

const { readFileSync } = require('node:fs')
const { describeMistake } = require('./json.js')
const { CommandError } = require('./errors.js')

const FIELDS = ['users', 'groups', 'contexts']
/** How editors mark the encodings that JSON does not have. */
const UTF16_MARKS = [
  [0xff, 0xfe],
  [0xfe, 0xff],
]

function readBytes(path) {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CommandError(`cannot read the seed file: ${error.code ?? error.message}`)
  }
}

function decode(bytes) {
  const isUtf16 = UTF16_MARKS.some(mark => mark.every((byte, index) => bytes[index] === byte))
  // Without a mark, every other byte of the JSON's punctuation is zero.
  if (isUtf16 || bytes.subarray(0, 2).includes(0)) {
    throw new CommandError('the seed file is encoded as UTF-16; save it as UTF-8')
  }
  try {
    // A byte order mark at the beginning, which editors on Windows write, is dropped.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    const line = lineOfInvalidByte(bytes)
    throw new CommandError(`the seed file is not encoded as UTF-8 (line ${line}); save it as UTF-8`)
  }
}

function lineOfInvalidByte(bytes) {
  const [valid] = bytes.toString('utf8').split('\uFFFD', 1)
  return valid.split('\n').length
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    throw new CommandError(`the seed file is not valid JSON: ${describeMistake(text)}`)
  }
}

/** The seeds of a file, as options of the emulator, or none without a file. */
function readSeed(path) {
  if (path === undefined) return {}
  const seed = parse(decode(readBytes(path)))
  const isObject = typeof seed === 'object' && seed !== null && !Array.isArray(seed)
  // Checked here, since the emulator would take its other options from the file too, such as the port.
  if (!isObject || Object.keys(seed).some(key => !FIELDS.includes(key))) {
    throw new CommandError(`the seed file must be an object of: ${FIELDS.join(', ')}`)
  }
  return seed
}

module.exports = { FIELDS, readSeed }
