// The package's face: one literal, so that Node finds every name for `import { … }` too.
'use strict'

const { XkitClient } = require('./lib/client.js')
const { getAccessToken, getGroupAccessToken } = require('./lib/default-client.js')
const {
  ConnectionUnavailableError,
  XkitApiError,
  XkitError,
  XkitNetworkError,
  isXkitError,
} = require('./lib/errors.js')

module.exports = {
  ConnectionUnavailableError,
  XkitApiError,
  XkitClient,
  XkitError,
  XkitNetworkError,
  getAccessToken,
  getGroupAccessToken,
  isXkitError,
}
