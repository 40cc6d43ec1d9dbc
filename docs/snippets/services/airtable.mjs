import Airtable from 'airtable'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const record = (userId, id) =>
  xkit.withAccessToken(userId, 'airtable', token =>
    new Airtable({ apiKey: token }).base('app1')('Orders').find(id),
  )
// #endregion use
