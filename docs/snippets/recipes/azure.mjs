import { getClient } from '@azure-rest/core-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region credential
const credentialOf = connection => ({
  async getToken(_scopes, { abortSignal: signal, claims } = {}) {
    const token = await connection.getAccessToken({ signal, fresh: claims !== undefined })
    return { token, expiresOnTimestamp: Date.now() }
  },
})
// #endregion credential

// #region use
export function me(userId) {
  const connection = xkit.for(userId, 'microsoft')
  const options = { credentials: { scopes: ['https://graph.microsoft.com/.default'] } }
  const client = getClient('https://graph.microsoft.com', credentialOf(connection), options)
  return connection.withAccessToken(() => client.path('/v1.0/me').get())
}
// #endregion use
