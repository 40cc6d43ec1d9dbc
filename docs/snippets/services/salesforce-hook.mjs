import { Connection } from 'jsforce'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const salesforce = async userId =>
  new Connection({
    instanceUrl: 'https://acme.my.salesforce.com',
    accessToken: await xkit.getAccessToken(userId, 'salesforce'),
    refreshFn: ({ accessToken }, done) => {
      xkit.invalidate(userId, 'salesforce', accessToken)
      xkit.getAccessToken(userId, 'salesforce').then(token => done(null, token), done)
    },
  })
// #endregion use
