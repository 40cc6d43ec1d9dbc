// Owns the sending of one webhook as the platform would send it, bounded in time and never repeated.
'use strict'

const http = require('node:http')
const https = require('node:https')

const TIMEOUT_MS = 10_000

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

function createWebhookSender(timeoutMs = TIMEOUT_MS) {
  const underWay = new Set()
  let closed = false

  function send(url, event) {
    return new Promise((resolve, reject) => {
      if (closed) throw failure('the emulator is closed')
      const body = webhookBody(event)
      const { request: open } = url.protocol === 'https:' ? https : http
      // No shared agent: a connection kept for later would outlive close().
      const request = open(url, {
        agent: false,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      })
      const stop = error => {
        reject(error)
        request.destroy()
      }
      const timer = setTimeout(() => stop(failure(`no complete answer within ${timeoutMs} ms`)), timeoutMs)
      underWay.add(stop)
      request.once('close', () => {
        clearTimeout(timer)
        underWay.delete(stop)
      })
      // Kept for the whole life of the request: an answer may also break off after its status has come.
      request.on('error', cause => reject(failure(cause.code ?? cause.message, cause)))
      request.once('response', response => {
        response.on('error', () => {})
        response.once('close', () => resolve({ status: response.statusCode }))
        response.resume()
      })
      request.end(body)
    })
  }

  function close() {
    closed = true
    for (const stop of underWay) stop(failure('the emulator was closed'))
  }

  return { send, close }
}

module.exports = { createWebhookSender }
