// Owns looking at the environment through the client's own eyes, so that the doctor has no rules of its own.
'use strict'

const { DEFAULT_PATHS } = require('../paths.js')

/** As documented; shown where the environment names no other. */
const DEFAULT_BASE_URL = 'https://app.xkit.co/api/platform'

// Nothing is ever sent with these.
const PLACEHOLDERS = {
  publishableKey: 'placeholder',
  secretKey: 'placeholder',
  baseUrl: DEFAULT_BASE_URL,
  catalogUrl: 'https://catalog.example',
  paths: DEFAULT_PATHS,
  proxy: false,
}

/** Constructs a client that takes the named options from the environment; what it throws is about those alone. */
function construct(XkitClient, ...names) {
  return new XkitClient({ ...PLACEHOLDERS, ...Object.fromEntries(names.map(name => [name, undefined])) })
}

/** What `ask` returns while a variable has another value, or none. Synchronous, so that nobody else sees it. */
function withVariable(name, value, ask) {
  const before = Object.hasOwn(process.env, name) ? process.env[name] : undefined
  const set = text => {
    if (text === undefined) delete process.env[name]
    else process.env[name] = text
  }
  set(value)
  try {
    return ask()
  } finally {
    set(before)
  }
}

module.exports = { DEFAULT_BASE_URL, construct, withVariable }
