import { TwitterApi } from 'twitter-api-v2'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const me = userId => xkit.withAccessToken(userId, 'twitter', token => new TwitterApi(token).v2.me())
// #endregion use
