// Shows a route for the platform's webhooks by the Web's Request and Response, as Next, Hono and others on Node take it: a
// secret in its URL, a limit for the body, 400 for what is no event.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')

const MAX_BYTES = 64 * 1024

/**
 * Gives a function from a POST's Request to its Response: `export const POST = webhookRoute({ xkit, secret })` in Next's
 * `app/webhooks/xkit/[secret]/route.js`, `app.post('/webhooks/xkit/:secret', c => handle(c.req.raw))` in Hono. The webhook's
 * URL ends with the secret: make one with `crypto.randomBytes(32).toString('base64url')`.
 */
function webhookRoute({ xkit, secret }) {
  // An unset variable would open the route to all, or break it.
  if (!secret) throw new TypeError('secret must be set')
  return async function handle(request) {
    // Before the body is read.
    if (!isSame(secretOf(request.url), secret)) return new Response(null, { status: 404 })
    const body = await readBody(request)
    if (body === undefined) return new Response(null, { status: 413 })
    try {
      xkit.handleWebhook(body)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      return Response.json({ error: error.message }, { status: 400 })
    }
    return new Response(null, { status: 204 })
  }
}

/** The last segment of the path. */
function secretOf(url) {
  return new URL(url).pathname.split('/').at(-1)
}

/** The whole body, or undefined if it is too large. */
async function readBody(request) {
  const chunks = []
  let length = 0
  for await (const chunk of request.body ?? []) {
    length += chunk.length
    if (length > MAX_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Takes the same time for every guess. It compares digests, since timingSafeEqual takes texts of one length only. */
function isSame(guess, secret) {
  const digest = text => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}

module.exports = { webhookRoute }
