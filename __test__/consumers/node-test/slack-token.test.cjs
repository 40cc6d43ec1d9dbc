// Tests code that is handed a client, as a CommonJS module: each test has an emulator of its own.
'use strict'

const assert = require('node:assert/strict')
const { afterEach, beforeEach, test } = require('node:test')
const { XkitApiError, XkitClient } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')
const { slackToken } = require('./slack-token.cjs')

let emulator
let xkit

beforeEach(async () => {
  emulator = await startEmulator({ users: { u1: { slack: { accessToken: 'xoxb-test' } } } })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })
})

afterEach(async () => {
  await xkit.close()
  await emulator.close()
})

test('gives the token of a user who is connected', async () => {
  assert.deepEqual(await slackToken(xkit, 'u1'), { token: 'xoxb-test' })
  assert.deepEqual(emulator.requests, [
    { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
  ])
})

test('sends a user whose connection broke to the catalog', async () => {
  emulator.setConnection('u1', 'slack', { status: 'error' })
  assert.deepEqual(await slackToken(xkit, 'u1'), { redirectTo: `${emulator.catalogUrl}/connectors/slack` })
})

test('does not notice a short outage', async () => {
  emulator.failNext({ status: 503 })
  assert.deepEqual(await slackToken(xkit, 'u1'), { token: 'xoxb-test' })
  assert.equal(emulator.requests.length, 2)
})

test('sends nobody to the catalog because of a long outage', async () => {
  emulator.failNext({ status: 503, times: 3 })
  await assert.rejects(slackToken(xkit, 'u1'), error => {
    assert(error instanceof XkitApiError)
    assert.equal(error.code, 'ERR_XKIT_SERVER')
    assert.equal(error.retryable, true)
    return true
  })
})

test('stops waiting when its caller leaves', async () => {
  emulator.failNext({ fault: 'stall' })
  const controller = new AbortController()
  const call = slackToken(xkit, 'u1', { signal: controller.signal })
  const reason = new Error('the request was closed')
  controller.abort(reason)
  await assert.rejects(call, error => error === reason)
})
