// Owns the delivery of webhooks as the platform does it: repeated until a 2xx, limited in time and number.
'use strict'

const http = require('node:http')
const https = require('node:https')
const { after } = require('./clock.js')

const TIMEOUT_MS = 10_000
// Short, for tests; the platform's own delays are not known.
const FIRST_BACKOFF_MS = 20
const MAX_BACKOFF_MS = 500

function webhookBody({ type, owner, slug, connectionId }) {
  const payload = { connector: { slug }, context: { external_id: owner.id } }
  if (connectionId !== undefined) payload.connection = { external_id: connectionId }
  return JSON.stringify({ event_type: type, payload })
}

function failure(reason, cause) {
  const options = cause === undefined ? undefined : { cause }
  const error = new Error(`The webhook was not delivered: ${reason}`, options)
  return Object.assign(error, { code: 'ERR_EMULATOR_WEBHOOK' })
}

/** Tests pass their own `wait`, which delays the next attempt. */
function createWebhookSender({ timeoutMs = TIMEOUT_MS, wait = after } = {}) {
  const underWay = new Set()
  let closed = false

  function send(url, event) {
    return new Promise((resolve, reject) => {
      if (closed) throw failure('the emulator is closed')
      const body = webhookBody(event)
      const { request: open } = url.protocol === 'https:' ? https : http
      // No shared agent, which would keep the connection open beyond close().
      const request = open(url, {
        agent: false,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      })
      const stop = error => {
        reject(error)
        request.destroy()
      }
      const cancelTimeout = after(timeoutMs, () => stop(failure(`no complete answer within ${timeoutMs} ms`)))
      underWay.add(stop)
      request.once('close', () => {
        cancelTimeout()
        underWay.delete(stop)
      })
      // Stays for the whole request: the answer may break off after its status arrived.
      request.on('error', cause => reject(failure(cause.code ?? cause.message, cause)))
      request.once('response', response => {
        response.on('error', () => {})
        response.once('close', () => resolve({ status: response.statusCode }))
        response.resume()
      })
      request.end(body)
    })
  }

  /** Delays the next attempt; rejects once the sender is closed. */
  function pause(ms) {
    return new Promise((resolve, reject) => {
      const cancel = wait(ms, () => {
        underWay.delete(stop)
        resolve()
      })
      const stop = error => {
        cancel()
        reject(error)
      }
      underWay.add(stop)
    })
  }

  /** Resolves with the last answer; rejects if the last attempt got none, or once the sender is closed. */
  async function deliver(url, event, maxAttempts) {
    for (let attempts = 1; ; attempts += 1) {
      const isLast = attempts === maxAttempts
      try {
        const { status } = await send(url, event)
        if (isLast || (status >= 200 && status <= 299)) return { status, attempts }
      } catch (error) {
        if (isLast || closed) throw error
      }
      await pause(Math.min(FIRST_BACKOFF_MS * 2 ** (attempts - 1), MAX_BACKOFF_MS))
    }
  }

  function close() {
    closed = true
    for (const stop of underWay) stop(failure('the emulator was closed'))
  }

  return { close, deliver, send }
}

module.exports = { createWebhookSender }
