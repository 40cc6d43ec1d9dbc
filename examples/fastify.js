// Shows xkit-node in a Fastify app: a webhook route with a secret in its URL, and a page that needs a token.
'use strict'

const { createHash, timingSafeEqual } = require('node:crypto')
const fastify = require('fastify')
const { ConnectionUnavailableError, isXkitError } = require('xkit-node')

/**
 * `xkit` is the XkitClient, `webhookSecret` what you put into the webhook's URL: make it with
 * `crypto.randomBytes(32).toString('base64url')`. `userOf(request)` gives the id of the user who is signed in.
 */
function createApp({ xkit, webhookSecret, userOf, githubUrl = 'https://api.github.com' }) {
  const app = fastify()

  app.post('/webhooks/xkit/:secret', {
    bodyLimit: 64 * 1024,
    // Before the body is read.
    onRequest: async (request, reply) => {
      if (!isSame(request.params.secret, webhookSecret)) return reply.code(404).send()
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

  app.get('/repositories', async (request, reply) => {
    try {
      return await repositoriesOf(xkit, userOf(request), githubUrl)
    } catch (error) {
      const isUnavailable = error instanceof ConnectionUnavailableError
      if (isUnavailable && error.connectUrl) return reply.redirect(error.connectUrl, 303)
      if (isUnavailable) return reply.code(409).send({ error: error.code })
      if (isXkitError(error)) return answerFailure(reply, error)
      throw error
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

/** Left to Fastify, the status that the platform gave would be the answer's own. */
function answerFailure(reply, { code, retryAfterMs }) {
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1000))
  return reply.code(503).send({ error: code })
}

/** Takes the same time for every guess. Digests, since only texts of one length can be compared in this way. */
function isSame(guess, secret) {
  const digest = text => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}

module.exports = { createApp }
