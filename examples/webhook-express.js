// Shows a route for the platform's webhooks in Express: a secret in its URL, a limit for the body, 400 for what is no event.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')
const express = require('express')

/**
 * Mount it: `app.use('/webhooks/xkit', webhookRoute({ xkit, secret }))`, before any parser of bodies. The webhook's URL ends
 * with the secret: make one with `crypto.randomBytes(32).toString('base64url')`.
 */
function webhookRoute({ xkit, secret }) {
  // An unset variable would open the route to all, or break it.
  if (!secret) throw new TypeError('secret must be set')
  const router = express.Router()
  router.post(
    '/:secret',
    // Before the body is read.
    (request, response, next) => {
      if (isSame(request.params.secret, secret)) next()
      else response.sendStatus(404)
    },
    // handleWebhook parses the bytes itself.
    express.raw({ type: () => true, limit: '64kb' }),
    (request, response) => {
      try {
        xkit.handleWebhook(request.body)
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        response.status(400).json({ error: error.message })
        return
      }
      response.sendStatus(204)
    },
  )
  return router
}

/** Takes the same time for every guess. It compares digests, since timingSafeEqual takes texts of one length only. */
function isSame(guess, secret) {
  const digest = text => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}

module.exports = { webhookRoute }
