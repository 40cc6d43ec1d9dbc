// Owns where an error says it comes from: the stack of every rejection names the function that awaited the call.
'use strict'

const { rmSync } = require('node:fs')
const { startServer } = require('./support/http-rigs')
const { closeRigs, startChild } = require('./support/rigs')
const { stagePackage } = require('./support/staged.js')

let packed
beforeAll(() => {
  packed = stagePackage()
})
afterAll(() => rmSync(packed, { recursive: true, force: true }))
afterEach(closeRigs)

/** Makes each kind of call in a function of its own, and prints which of them have that function in their stack. */
async function script({ root, folder, keys, baseUrl, isTraced, cache }) {
  const xkit = require(folder ?? root)
  if (isTraced) require('node:diagnostics_channel').subscribe('tracing:xkit-node:call:start', () => {})
  const client = new xkit.XkitClient({ ...keys, baseUrl, cache, maxRetries: 0 })
  Object.assign(process.env, {
    XKIT_PUBLISHABLE_KEY: keys.publishableKey,
    XKIT_SECRET_KEY: keys.secretKey,
    XKIT_BASE_URL: baseUrl,
  })
  const calls = {
    getAccessToken: async function myGetAccessToken(owner) {
      await client.getAccessToken(owner, 'slack')
    },
    withOptions: async function myWithOptions(owner) {
      await client.getAccessToken(owner, 'slack', { signal: new AbortController().signal })
    },
    getGroupAccessToken: async function myGetGroupAccessToken(owner) {
      await client.getGroupAccessToken(owner, 'slack')
    },
    getConnection: async function myGetConnection(owner) {
      await client.getConnection(owner, 'slack')
    },
    withAccessToken: async function myWithAccessToken(owner) {
      await client.withAccessToken(owner, 'slack', () => 'not called')
    },
    fetch: async function myFetch(owner) {
      await client.fetch(owner, 'slack', baseUrl)
    },
    plainUser: async function myPlainUser(owner) {
      await xkit.getAccessToken(owner, 'slack')
    },
    plainGroup: async function myPlainGroup(owner) {
      await xkit.getGroupAccessToken(owner, 'slack')
    },
  }
  const missing = []
  for (const [name, call] of Object.entries(calls)) {
    for (const owner of ['refused', '..', undefined]) {
      const error = await call(owner).then(
        () => new Error('fulfilled'),
        error => error,
      )
      if (!error.stack.includes(call.name)) missing.push(`${name} of ${owner}: ${error.stack}`)
    }
  }
  console.log(JSON.stringify(missing))
}

describe.each([
  ['in the tree', () => ({})],
  ['as it is packed', () => ({ folder: packed })],
])('the package %s', (_where, place) => {
  test.each([
    ['a plain client', {}],
    ['a traced client', { isTraced: true }],
    ['a client with a cache', { cache: true }],
  ])('names the caller in the stack of every rejection: %s', async (_what, input) => {
    const { baseUrl } = await startServer({ handler: (_request, response) => response.writeHead(403).end() })

    const { stdout, stderr } = await startChild(script, { baseUrl, ...place(), ...input }).ended

    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual([])
  })
})
