// Shows xkit-node in an Express app: a webhook route with a secret in its URL, and a page that needs a token.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')
const express = require('express')
const { ConnectionUnavailableError, isXkitError } = require('xkit-node')

/**
 * `xkit` is the XkitClient, `webhookSecret` what you put into the webhook's URL: make it with
 * `crypto.randomBytes(32).toString('base64url')`. `userOf(request)` gives the id of the user who is signed in.
 */
function createApp({ xkit, webhookSecret, userOf, githubUrl = 'https://api.github.com' }) {
  const app = express()

  // The secret is checked before the body is read, and bytes are enough: handleWebhook parses them.
  app.post(
    '/webhooks/xkit/:secret',
    (request, response, next) => {
      if (isSame(request.params.secret, webhookSecret)) next()
      else response.sendStatus(404)
    },
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

  app.get('/repositories', async (request, response) => {
    try {
      response.json(await repositoriesOf(xkit, userOf(request), githubUrl))
    } catch (error) {
      const isUnavailable = error instanceof ConnectionUnavailableError
      if (isUnavailable && error.connectUrl) response.redirect(303, error.connectUrl)
      else if (isUnavailable) response.status(409).json({ error: error.code })
      else if (isXkitError(error)) answerFailure(response, error)
      else throw error
    }
  })

  return app
}

/** A 401 of GitHub is repaired once: the function is then called again, with a new token. */
async function repositoriesOf(xkit, userId, githubUrl) {
  const answer = await xkit.withAccessToken(userId, 'github', accessToken =>
    fetch(`${githubUrl}/user/repos`, { headers: { authorization: `Bearer ${accessToken}` } }),
  )
  if (!answer.ok) throw new Error(`GitHub answered ${answer.status}`)
  return answer.json()
}

/** Left to Express, the status that the platform gave would be the answer's own. */
function answerFailure(response, { code, retryAfterMs }) {
  if (retryAfterMs !== undefined) response.set('retry-after', Math.ceil(retryAfterMs / 1000))
  response.status(503).json({ error: code })
}

/** Takes the same time for every guess. Digests, since only texts of one length can be compared in this way. */
function isSame(guess, secret) {
  const digest = text => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}

module.exports = { createApp }
