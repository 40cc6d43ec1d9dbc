// Owns the client behind the module's functions: built from the environment at the first call.
'use strict'

const { XkitClient } = require('./client.js')

let client

async function getAccessToken(owner, slug, options) {
  client ??= new XkitClient()
  return client.getAccessToken(owner, slug, options)
}

async function getGroupAccessToken(groupId, slug, options) {
  client ??= new XkitClient()
  return client.getGroupAccessToken(groupId, slug, options)
}

module.exports = { getAccessToken, getGroupAccessToken }
