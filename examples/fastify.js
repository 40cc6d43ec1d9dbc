// Shows xkit-node in a Fastify app: a page that needs a token, what it answers where there is none, and a webhook route.
'use strict'

const fastify = require('fastify')
const { ConnectionUnavailableError, isXkitError } = require('xkit-node')
const { webhookRoute } = require('./webhook-fastify.js')

/** `xkit` is the XkitClient. `userOf(request)` gives the id of the user who is signed in. */
function createApp({ xkit, webhookSecret, userOf, githubUrl = 'https://api.github.com' }) {
  const app = fastify()

  app.register(webhookRoute, { prefix: '/webhooks/xkit', xkit, secret: webhookSecret })

  app.get('/repositories', async (request, reply) => {
    try {
      return await repositoriesOf(xkit, userOf(request), githubUrl)
    } catch (error) {
      if (!isXkitError(error)) throw error
      return answerFailure(reply, error)
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

/**
 * Sends the user to where the connection is made or mended; says 503 for what passes, and for what only we can mend. Never
 * thrown on: Fastify would answer with `error.status`, which is what the platform told us, such as a 401 for our keys.
 */
function answerFailure(reply, error) {
  const { code, connectUrl, retryable, retryAfterMs } = error
  if (error instanceof ConnectionUnavailableError && !retryable) {
    return connectUrl ? reply.redirect(connectUrl, 303) : reply.code(409).send({ error: code })
  }
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1000))
  return reply.code(503).send({ error: code })
}

module.exports = { createApp }
