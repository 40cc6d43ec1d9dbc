// Tests code that is handed a client: each test has an emulator of its own.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { XkitApiError, XkitClient } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'
import { slackToken } from './slack-token.js'

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
  expect(await slackToken(xkit, 'u1')).toEqual({ token: 'xoxb-test' })
  expect(emulator.requests).toEqual([
    { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
  ])
})

test('sends a user whose connection broke to the catalog', async () => {
  emulator.setConnection('u1', 'slack', { status: 'error' })
  expect(await slackToken(xkit, 'u1')).toEqual({ redirectTo: `${emulator.catalogUrl}/connectors/slack` })
})

test('does not notice a short outage', async () => {
  emulator.failNext({ status: 503 })
  expect(await slackToken(xkit, 'u1')).toEqual({ token: 'xoxb-test' })
  expect(emulator.requests).toHaveLength(2)
})

test('sends nobody to the catalog because of a long outage', async () => {
  emulator.failNext({ status: 503, times: 3 })
  const failure = slackToken(xkit, 'u1')
  await expect(failure).rejects.toThrow(XkitApiError)
  await expect(failure).rejects.toMatchObject({ code: 'ERR_XKIT_SERVER', retryable: true })
})

test('stops waiting when its caller leaves', async () => {
  emulator.failNext({ fault: 'stall' })
  const controller = new AbortController()
  const call = slackToken(xkit, 'u1', { signal: controller.signal })
  const reason = new Error('the request was closed')
  controller.abort(reason)
  await expect(call).rejects.toBe(reason)
})
