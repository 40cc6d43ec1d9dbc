// Owns the client behind the module's functions: built from the environment at the first call.
'use strict'

const { XkitClient } = require('./client.js')

let client

function defaultClient() {
  client ??= new XkitClient()
  return client
}

async function getAccessToken(owner, slug, options) {
  return await defaultClient().getAccessToken(owner, slug, options)
}

async function getGroupAccessToken(groupId, slug, options) {
  return await defaultClient().getGroupAccessToken(groupId, slug, options)
}

async function getConnection(owner, slug, options) {
  return await defaultClient().getConnection(owner, slug, options)
}

async function withAccessToken(owner, slug, use, options) {
  return await defaultClient().withAccessToken(owner, slug, use, options)
}

/** The next call builds another client, by the environment as it is then. */
async function closeDefaultClient(options) {
  const closing = client
  client = undefined
  await closing?.close(options)
}

module.exports = { closeDefaultClient, getAccessToken, getConnection, getGroupAccessToken, withAccessToken }
