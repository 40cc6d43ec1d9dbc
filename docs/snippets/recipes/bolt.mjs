import bolt from '@slack/bolt'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const appOf = options =>
  new bolt.App({
    ...options,
    authorize: async ({ teamId }) => ({ botToken: await xkit.getGroupAccessToken(teamId, 'slack') }),
  })
// #endregion use
