// Shows xkit-node in an Express app: a page that needs a token, what it answers where there is none, and a webhook route.
'use strict'

const express = require('express')
const { ConnectionUnavailableError, isXkitError } = require('xkit-node')
const { webhookRoute } = require('./webhook-express.js')

/** `xkit` is the XkitClient. `userOf(request)` gives the id of the user who is signed in. */
function createApp({ xkit, webhookSecret, userOf, githubUrl = 'https://api.github.com' }) {
  const app = express()

  app.use('/webhooks/xkit', webhookRoute({ xkit, secret: webhookSecret }))

  app.get('/repositories', async (request, response) => {
    try {
      response.json(await repositoriesOf(xkit, userOf(request), githubUrl))
    } catch (error) {
      if (!isXkitError(error)) throw error
      answerFailure(response, error)
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
 * `next(error)`: Express would answer with `error.status`, which is what the platform told us, such as a 401 for our keys.
 */
function answerFailure(response, error) {
  const { code, connectUrl, retryable, retryAfterMs } = error
  if (error instanceof ConnectionUnavailableError && !retryable) {
    if (connectUrl) response.redirect(303, connectUrl)
    else response.status(409).json({ error: code })
    return
  }
  if (retryAfterMs !== undefined) response.set('retry-after', Math.ceil(retryAfterMs / 1000))
  response.status(503).json({ error: code })
}

module.exports = { createApp }
