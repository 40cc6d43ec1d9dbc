import { WebClient } from '@slack/web-api'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const channels = userId =>
  xkit.withAccessToken(userId, 'slack', token => new WebClient(token).conversations.list())
// #endregion use
