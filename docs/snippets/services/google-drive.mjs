import { auth, drive } from '@googleapis/drive'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const files = userId =>
  xkit.withAccessToken(userId, 'google-drive', token => {
    const client = new auth.OAuth2()
    client.setCredentials({ access_token: token })
    return drive({ version: 'v3', auth: client }).files.list()
  })
// #endregion use
