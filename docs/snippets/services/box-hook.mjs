import { BoxClient } from 'box-node-sdk'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export function box(userId) {
  const connection = xkit.for(userId, 'box')
  let token
  const auth = {
    async retrieveAuthorizationHeader() {
      token = await connection.getAccessToken()
      return `Bearer ${token}`
    },
    refreshToken: async () => connection.invalidate(token),
  }
  return new BoxClient({ auth })
}
// #endregion use
