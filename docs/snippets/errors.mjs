import { ConnectionUnavailableError, getAccessToken, isXkitError } from 'xkit-node'

export async function slackToken(userId) {
  try {
    return { token: await getAccessToken(userId, 'slack') }
  } catch (error) {
    // An outage, a limit, or a connection that is under way.
    if (isXkitError(error) && error.retryable) return { tryAgainLater: true }
    if (error instanceof ConnectionUnavailableError) return { redirectTo: error.connectUrl }
    throw error
  }
}
