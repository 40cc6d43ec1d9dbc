import { Connection } from 'jsforce'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
const instanceUrl = 'https://acme.my.salesforce.com'

export const accounts = userId =>
  xkit.withAccessToken(userId, 'salesforce', token =>
    new Connection({ instanceUrl, accessToken: token }).query('SELECT Id FROM Account'),
  )
// #endregion use
