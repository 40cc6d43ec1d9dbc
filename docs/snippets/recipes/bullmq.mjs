import { UnrecoverableError } from 'bullmq'
import { XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export async function processor({ data: { userId } }) {
  try {
    const response = await xkit.fetch(userId, 'slack', 'https://slack.com/api/auth.test')
    return await response.json()
  } catch (error) {
    // Only the owner can help: no retry, and whoever listens for `failed` tells them.
    if (xkitErrorOf(error)?.retryable === false) throw new UnrecoverableError(error.message)
    throw error
  }
}
// #endregion use
