import { Client } from '@microsoft/microsoft-graph-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const me = userId =>
  xkit.withAccessToken(userId, 'microsoft', token =>
    Client.init({ authProvider: done => done(null, token) })
      .api('/me')
      .get(),
  )
// #endregion use
