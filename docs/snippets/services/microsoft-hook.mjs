import { Client } from '@microsoft/microsoft-graph-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
const graph = connection => Client.initWithMiddleware({ authProvider: connection })

export function me(userId) {
  const connection = xkit.for(userId, 'microsoft')
  return connection.withAccessToken(() => graph(connection).api('/me').get())
}
// #endregion use
