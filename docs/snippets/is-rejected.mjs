import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

export function post(userId, callSlack) {
  // #region options
  const isExpired = answer => answer.error === 'token_expired' || answer.error === 'invalid_auth'
  return xkit.withAccessToken(userId, 'slack', callSlack, { isRejected: isExpired })
  // #endregion options
}
