import { auth, drive } from '@googleapis/drive'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export function googleDrive(userId) {
  const connection = xkit.for(userId, 'google-drive')
  const client = new auth.OAuth2()
  client.refreshHandler = async () => {
    const fresh = client.credentials.access_token !== undefined
    return { access_token: await connection.getAccessToken({ fresh }) }
  }
  return drive({ version: 'v3', auth: client })
}
// #endregion use
