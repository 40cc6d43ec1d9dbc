import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

export function post(userId, callService) {
  // #region options
  const isRejected = answer => answer.errcode === 40001 || answer.errcode === 42001
  return xkit.withAccessToken(userId, 'example', callService, { isRejected })
  // #endregion options
}
