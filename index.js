// The package's face: one literal, so that Node finds every name for `import { … }` too.
'use strict'

const {
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
} = require('./lib/facade.js')

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
