import { Connection } from 'jsforce'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export async function salesforce(userId) {
  const connection = xkit.for(userId, 'salesforce')
  return new Connection({
    instanceUrl: 'https://acme.my.salesforce.com',
    accessToken: await connection.getAccessToken(),
    refreshFn: ({ accessToken }, done) => {
      connection.invalidate(accessToken)
      connection.getAccessToken().then(token => done(null, token), done)
    },
  })
}
// #endregion use
