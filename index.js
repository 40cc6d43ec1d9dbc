// The package's face: one literal, so that Node finds every name for `import { … }` too.
'use strict'

const {
  XkitClient,
  closeDefaultClient,
  getAccessToken,
  getConnection,
  getGroupAccessToken,
  withAccessToken,
} = require('./lib/client.js')
const {
  ConnectionUnavailableError,
  XkitApiError,
  XkitError,
  XkitNetworkError,
  isXkitError,
  xkitErrorOf,
} = require('./lib/errors.js')

module.exports = {
  ConnectionUnavailableError,
  XkitApiError,
  XkitClient,
  XkitError,
  XkitNetworkError,
  closeDefaultClient,
  getAccessToken,
  getConnection,
  getGroupAccessToken,
  isXkitError,
  withAccessToken,
  xkitErrorOf,
}
