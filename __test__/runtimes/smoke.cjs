// Owns what must hold in every runtime, whichever way the package was loaded. Needs nothing but the package.
'use strict'

const assert = require('node:assert')
const { once } = require('node:events')
const { setTimeout: wait } = require('node:timers/promises')
const { Worker } = require('node:worker_threads')

/** `worker` is the file of the worker thread. Nothing here ends the process. */
async function smoke({ xkit, startEmulator, worker }) {
  const { ConnectionUnavailableError, XkitApiError, XkitClient, XkitError, isXkitError } = xkit
  const emulator = await startEmulator({
    users: { u1: { slack: { accessToken: 'xoxb-user' }, github: { status: 'error' } } },
    groups: { acme: { slack: { accessToken: 'xoxb-group' } } },
  })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  const options = { baseUrl, catalogUrl, publishableKey, secretKey }
  const client = new XkitClient(options)

  /** Makes the platform never answer the next request; resolves when that has arrived. */
  async function stalled(start) {
    const before = emulator.requests.length
    emulator.failNext({ fault: 'stall' })
    const started = start()
    while (emulator.requests.length === before) await wait(5)
    return { started }
  }

  async function tokens() {
    assert.strictEqual(await client.getAccessToken('u1', 'slack'), 'xoxb-user')
    assert.strictEqual(await client.getGroupAccessToken('acme', 'slack'), 'xoxb-group')
    assert.deepStrictEqual(emulator.requests, [
      { method: 'GET', path: '/api/platform/connections/u1/slack', status: 200 },
      { method: 'GET', path: '/api/platform/groups/acme/connections/slack', status: 200 },
    ])
  }

  async function connections() {
    const active = await client.getConnection('u1', 'slack')
    assert.strictEqual(active.status, 'active')
    assert.strictEqual(active.accessToken, 'xoxb-user')
    const unavailable = await client.getConnection('u1', 'github')
    assert.strictEqual(unavailable.status, 'needs_reauthorization')
    assert.strictEqual(unavailable.connectUrl, `${catalogUrl}/connectors/github`)
  }

  async function errors() {
    const unavailable = await client.getAccessToken('u1', 'github').catch(error => error)
    assert(unavailable instanceof ConnectionUnavailableError)
    assert.strictEqual(unavailable.code, 'ERR_XKIT_NEEDS_REAUTHORIZATION')
    assert.strictEqual(unavailable.retryable, false)

    emulator.failNext({ status: 503, times: 3 })
    const outage = await client.getAccessToken('u1', 'slack').catch(error => error)
    assert(outage instanceof XkitApiError && outage instanceof XkitError && outage instanceof Error)
    assert(isXkitError(outage))
    assert.strictEqual(outage.code, 'ERR_XKIT_SERVER')
    assert.strictEqual(outage.retryable, true)
    assert.strictEqual(outage.attempts, 3)
  }

  async function abort() {
    const controller = new AbortController()
    const { signal } = controller
    const { started } = await stalled(() =>
      client.getAccessToken('u1', 'slack', { signal }).catch(error => error),
    )
    const reason = new Error('changed my mind')
    controller.abort(reason)
    assert.strictEqual(await started, reason)
  }

  async function workers() {
    const start = () => new Worker(worker, { workerData: options })
    const first = start()
    const ended = once(first, 'exit')
    assert.deepStrictEqual(await once(first, 'message'), ['xoxb-user'])
    assert.deepStrictEqual(await ended, [0])

    const { started } = await stalled(start)
    const terminated = once(started, 'exit')
    const messages = []
    started.on('message', message => messages.push(message))
    await started.terminate()
    await terminated
    // A call that is left alone is tried again after a while, and answered.
    assert.deepStrictEqual(messages, [])
    assert.strictEqual(await client.getAccessToken('u1', 'slack'), 'xoxb-user')
  }

  try {
    for (const part of [tokens, connections, errors, abort, workers]) await part()
  } finally {
    await emulator.close()
  }
  // The client is left open, and idle: it must not keep the process alive.
  console.log('smoke test passed')
}

module.exports = { smoke }
