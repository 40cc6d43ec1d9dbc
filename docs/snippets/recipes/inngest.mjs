import { Inngest, NonRetriableError } from 'inngest'
import { XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
export const inngest = new Inngest({ id: 'acme' })

// #region use
export const postStandup = inngest.createFunction(
  { id: 'post-standup', triggers: { event: 'standup/due' } },
  async ({ event }) => {
    try {
      const response = await xkit.fetch(event.data.userId, 'slack', 'https://slack.com/api/auth.test')
      return await response.json()
    } catch (error) {
      // Only the owner can help: no retry, and the function's `onFailure` tells them.
      if (xkitErrorOf(error)?.retryable === false)
        throw new NonRetriableError(error.message, { cause: error })
      throw error
    }
  },
)
// #endregion use
