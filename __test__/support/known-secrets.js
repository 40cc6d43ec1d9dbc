// Owns the list of what must not be shown. Support code announces each secret that it gives to the package, and
// collect-secrets.js searches for it whatever a test brings to light.
'use strict'

const { formsOf } = require('./secrets.js')

// Shorter than the shortest form, so that each form is found by how it begins.
const START = 8

/** Finds any number of secrets in one pass over a text. */
class Finder {
  #byStart = new Map()
  #known = new Set()

  add(secret) {
    if (this.#known.has(secret)) return
    this.#known.add(secret)
    for (const form of formsOf(secret)) {
      const start = form.slice(0, START)
      const forms = this.#byStart.get(start)
      if (forms === undefined) this.#byStart.set(start, [form])
      else forms.push(form)
    }
  }

  find(text) {
    const found = new Set()
    for (let at = 0; at <= text.length - START; at++) {
      const forms = this.#byStart.get(text.slice(at, at + START))
      for (const form of forms ?? []) if (text.startsWith(form, at)) found.add(form)
    }
    return [...found]
  }
}

// Of the test file, not of the module: tests that reset the module registry share it.
const MARK = Symbol.for('xkit-node.known-secrets')
globalThis[MARK] ??= { keys: new Finder(), tokens: new Finder() }
const { keys, tokens } = globalThis[MARK]

const isSearchable = secret => typeof secret === 'string' && secret.length >= START

/** Keys and passwords: nothing at all may show them. */
function announceKeys({ publishableKey, secretKey }) {
  for (const secret of [secretKey, `${publishableKey}:${secretKey}`]) announcePassword(secret)
}

function announcePassword(secret) {
  if (isSearchable(secret)) keys.add(secret)
}

/** Tokens are what is asked for: a program that a test runs may print its result, and nothing else may show it. */
function announceToken(token) {
  if (isSearchable(token)) tokens.add(token)
}

/** Every announced secret that a text shows, in the form in which it does. */
function findSecrets(text) {
  return [...keys.find(text), ...tokens.find(text)]
}

const findKeys = text => keys.find(text)

module.exports = { announceKeys, announcePassword, announceToken, findKeys, findSecrets }
