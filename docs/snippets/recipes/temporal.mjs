import { ApplicationFailure } from '@temporalio/common'
import { XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export async function postStandup(userId) {
  try {
    const response = await xkit.fetch(userId, 'slack', 'https://slack.com/api/auth.test')
    return await response.json()
  } catch (error) {
    const ours = xkitErrorOf(error)
    if (ours === undefined) throw error
    const { code, message, retryable } = ours
    throw ApplicationFailure.create({ message, type: code, nonRetryable: !retryable, cause: ours })
  }
}
// #endregion use
