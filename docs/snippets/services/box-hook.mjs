import { BoxClient } from 'box-node-sdk'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export function box(userId) {
  let token
  const auth = {
    async retrieveAuthorizationHeader() {
      token = await xkit.getAccessToken(userId, 'box')
      return `Bearer ${token}`
    },
    refreshToken: async () => xkit.invalidate(userId, 'box', token),
  }
  return new BoxClient({ auth })
}
// #endregion use
