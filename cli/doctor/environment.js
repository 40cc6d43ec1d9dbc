// Owns reading the environment by constructing a client, so that the doctor has no rules of its own.
'use strict'

const { DEFAULT_PATHS } = require('../paths.js')

/** As documented. */
const DEFAULT_BASE_URL = 'https://app.xkit.co/api/platform'

// No request is sent with these.
const PLACEHOLDERS = {
  publishableKey: 'placeholder',
  secretKey: 'placeholder',
  baseUrl: DEFAULT_BASE_URL,
  catalogUrl: 'https://catalog.example',
  paths: DEFAULT_PATHS,
  proxy: false,
}

/** Constructs a client that reads only the named options from the environment, so that an error is about them. */
function construct(XkitClient, ...names) {
  return new XkitClient({ ...PLACEHOLDERS, ...Object.fromEntries(names.map(name => [name, undefined])) })
}

/** Returns what `ask` returns while a variable has another value, or none. Synchronous, so that no other code sees it. */
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
