// Shows a route for the platform's webhooks in Fastify: a secret in its URL, a limit for the body, 400 for what is no event.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')

/**
 * Register it: `app.register(webhookRoute, { prefix: '/webhooks/xkit', xkit, secret })`. The webhook's URL ends with the
 * secret: make one with `crypto.randomBytes(32).toString('base64url')`.
 */
async function webhookRoute(app, { xkit, secret }) {
  // An unset variable would open the route to all, or break it.
  if (!secret) throw new TypeError('secret must be set')
  app.post('/:secret', {
    bodyLimit: 64 * 1024,
    // Before the body is read.
    onRequest: async (request, reply) => {
      if (!isSame(request.params.secret, secret)) return reply.code(404).send()
    },
    handler: async (request, reply) => {
      try {
        xkit.handleWebhook(request.body)
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        return reply.code(400).send({ error: error.message })
      }
      return reply.code(204).send()
    },
  })
}

/** Takes the same time for every guess. It compares digests, since timingSafeEqual takes texts of one length only. */
function isSame(guess, secret) {
  const digest = text => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}

module.exports = { webhookRoute }
