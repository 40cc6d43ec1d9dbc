import { Client } from '@hubspot/api-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const contacts = userId =>
  xkit.withAccessToken(userId, 'hubspot', token =>
    new Client({ accessToken: token }).crm.contacts.basicApi.getPage(10),
  )
// #endregion use
