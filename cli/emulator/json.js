// Owns what is wrong with a text that is no JSON, and where: JSON.parse tells a position only sometimes, and repeats the text.
'use strict'

const TOKEN =
  /("(?:[ !#-[\]-\u{10ffff}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w))|([{}[\],:])/uy
const BLANKS = /[ \t\r\n]*/y

const EXPECTED = {
  value: 'a value',
  firstValue: 'a value or ]',
  key: 'a name in double quotes',
  firstKey: 'a name in double quotes or }',
  colon: 'a colon',
  comma: 'a comma or the closing bracket',
  end: 'the end of the file',
}
const CLOSING = { __proto__: null, '{': '}', '[': ']' }

/** What may follow a token, or undefined if it may not stand where `expected` is. `open` are the brackets that are open. */
function step(expected, [token, text, scalar], open) {
  const isValueExpected = expected === 'value' || expected === 'firstValue'
  const afterValue = () => (open.length === 0 ? 'end' : 'comma')
  if (text !== undefined && (expected === 'key' || expected === 'firstKey')) return 'colon'
  if (text !== undefined || scalar !== undefined) return isValueExpected ? afterValue() : undefined
  if (token in CLOSING) {
    if (!isValueExpected) return undefined
    open.push(token)
    return token === '{' ? 'firstKey' : 'firstValue'
  }
  if (token === ':') return expected === 'colon' ? 'value' : undefined
  const isOpenObject = open.at(-1) === '{'
  if (token === ',') {
    if (expected !== 'comma') return undefined
    return isOpenObject ? 'key' : 'value'
  }
  const mayClose = expected === 'comma' || expected === (isOpenObject ? 'firstKey' : 'firstValue')
  if (!mayClose || token !== CLOSING[open.at(-1)]) return undefined
  open.pop()
  return afterValue()
}

/** Says what is wrong at `offset`. A name or a value is never repeated, since it may be a token. */
function reasonAt(text, offset, expected) {
  const rest = text.slice(offset, offset + 2)
  if (rest === '') return 'the file ends too early'
  if (rest === '//' || rest === '/*' || rest[0] === '#') return 'JSON has no comments'
  if (rest[0] === "'") return 'text stands in double quotes, not in single ones'
  if (rest[0] === '"' && ['value', 'firstValue', 'key', 'firstKey'].includes(expected)) {
    return 'the text that begins here is not closed, or holds a line break or a wrong escape'
  }
  if (/[}\]]/.test(rest[0]) && (expected === 'key' || expected === 'value')) return 'a comma stands before it'
  const code = text.codePointAt(offset)
  if (code < 0x20 || code > 0x7e) {
    return `the character U+${code.toString(16).toUpperCase().padStart(4, '0')} may only stand inside of a text`
  }
  return `${EXPECTED[expected]} is expected here`
}

/** `line 3, column 5: …` for the first mistake of a text that JSON.parse refuses. */
function describeMistake(text) {
  const open = []
  let expected = 'value'
  let offset = 0
  for (;;) {
    BLANKS.lastIndex = offset
    BLANKS.exec(text)
    offset = BLANKS.lastIndex
    TOKEN.lastIndex = offset
    const match = TOKEN.exec(text)
    const next = match === null ? undefined : step(expected, match, open)
    if (next === undefined) break
    expected = next
    offset = TOKEN.lastIndex
  }
  const before = text.slice(0, offset).split('\n')
  return `line ${before.length}, column ${before.at(-1).length + 1}: ${reasonAt(text, offset, expected)}`
}

module.exports = { describeMistake }
