import { Api } from 'figma-api'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const me = userId =>
  xkit.withAccessToken(userId, 'figma', token => new Api({ oAuthToken: token }).getMe())
// #endregion use
