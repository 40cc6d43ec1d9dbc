import { Gitlab } from '@gitbeaker/rest'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const user = userId =>
  xkit.withAccessToken(userId, 'gitlab', token => new Gitlab({ oauthToken: token }).Users.showCurrentUser())
// #endregion use
