import { getAccessToken, isXkitError } from 'xkit-node'

export async function logged(userId, slug) {
  try {
    return await getAccessToken(userId, slug)
  } catch (error) {
    if (isXkitError(error)) {
      const { name, code, retryable, attempts, status, requestId, retryAfterMs, message } = error
      console.log(
        JSON.stringify({ name, code, retryable, attempts, status, requestId, retryAfterMs, message }),
      )
    }
    throw error
  }
}
