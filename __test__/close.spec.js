// Owns the proof of close with a limit: it ends the calls that are left then, at once if it is 0, and no other client's.
'use strict'

const { XkitClient, XkitError } = require('..')
const { startEmulator } = require('../emulator')

let emulator
const clients = []

beforeEach(async () => {
  emulator = await startEmulator({
    users: { u1: { slack: { accessToken: 'xoxb-1' }, github: {} }, u2: { slack: {} } },
  })
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map(client => client.close({ timeoutMs: 0 })))
  await emulator.close()
})

function makeClient(options) {
  const { baseUrl, publishableKey, secretKey } = emulator
  const client = new XkitClient({ baseUrl, publishableKey, secretKey, ...options })
  clients.push(client)
  return client
}

/** Resolves once so many requests have arrived. */
async function arrived(count) {
  while (emulator.requests.length < count) await new Promise(setImmediate)
}

const codeOf = call =>
  call.then(
    () => 'a token',
    error => error.code,
  )

test('ends at once with a limit of 0, and every call with ERR_XKIT_CLOSED', async () => {
  const xkit = makeClient({ cache: true })
  emulator.failNext({ fault: 'stall', times: 3 })
  const calls = [
    xkit.getAccessToken('u1', 'slack'),
    xkit.getAccessToken('u1', 'slack'),
    xkit.getConnection('u2', 'slack'),
    xkit.withAccessToken('u1', 'github', token => token),
  ]
  await arrived(3)
  const ended = Promise.all(calls.map(call => call.catch(error => error)))
  await xkit.close({ timeoutMs: 0 })
  const errors = await ended
  expect(new Set(errors).size).toBe(4)
  for (const error of errors) {
    expect(error).toBeInstanceOf(XkitError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_CLOSED', retryable: false })
  }
  expect(xkit.stats().inFlight).toBe(0)
})

test('ends those that are left at the limit, and lets the others end by themselves', async () => {
  const xkit = makeClient()
  emulator.failNext({ fault: 'stall', owner: 'u2' })
  const [quick, stalled] = ['u1', 'u2'].map(user => codeOf(xkit.getAccessToken(user, 'slack')))
  await arrived(2)
  await xkit.close({ timeoutMs: 300 })
  expect([await quick, await stalled]).toEqual(['a token', 'ERR_XKIT_CLOSED'])
})

test('resolves as soon as all have ended, however long the limit is', async () => {
  const xkit = makeClient()
  const call = codeOf(xkit.getAccessToken('u1', 'slack'))
  await xkit.close({ timeoutMs: 2 ** 31 - 1 })
  expect(await call).toBe('a token')
})

test('may be hurried by a second one', async () => {
  const xkit = makeClient()
  emulator.failNext({ fault: 'stall' })
  const call = codeOf(xkit.getAccessToken('u1', 'slack'))
  await arrived(1)
  const patient = xkit.close()
  await xkit.close({ timeoutMs: 0 })
  await patient
  expect(await call).toBe('ERR_XKIT_CLOSED')
})

test('leaves the calls of another client alone', async () => {
  const [one, other] = [makeClient(), makeClient()]
  emulator.latencyMs = 50
  const calls = [one, other].map(client => codeOf(client.getAccessToken('u1', 'slack')))
  await arrived(2)
  await one.close({ timeoutMs: 0 })
  expect(await Promise.all(calls)).toEqual(['ERR_XKIT_CLOSED', 'a token'])
})

test('is no other end for a call that its signal ended', async () => {
  const xkit = makeClient()
  emulator.failNext({ fault: 'stall' })
  const controller = new AbortController()
  const call = xkit.getAccessToken('u1', 'slack', { signal: controller.signal })
  const rejection = expect(call).rejects.toBe('no longer')
  await arrived(1)
  controller.abort('no longer')
  await xkit.close({ timeoutMs: 0 })
  await rejection
})

test.each([
  ['ERR_INVALID_ARG_TYPE', null],
  ['ERR_INVALID_ARG_TYPE', 5],
  ['ERR_INVALID_ARG_TYPE', { timeoutMs: '5' }],
  ['ERR_INVALID_ARG_VALUE', { timeoutMs: -1 }],
  ['ERR_INVALID_ARG_VALUE', { timeoutMs: 2 ** 31 }],
  ['ERR_INVALID_ARG_VALUE', { timeout: 5 }],
])('rejects with %s for %j, and closes nothing', async (code, options) => {
  const xkit = makeClient()
  await expect(xkit.close(options)).rejects.toMatchObject({ name: 'TypeError', code })
  expect(await xkit.getAccessToken('u1', 'slack')).toBe('xoxb-1')
})
