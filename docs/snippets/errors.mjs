import { ConnectionUnavailableError, getAccessToken, isXkitError } from 'xkit-node'

export async function slackToken(userId) {
  try {
    return { token: await getAccessToken(userId, 'slack') }
  } catch (error) {
    if (error instanceof ConnectionUnavailableError) return { redirectTo: error.connectUrl }
    if (isXkitError(error) && error.retryable) return { tryAgainLater: true }
    throw error
  }
}
