import { XeroClient } from 'xero-node'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const organisations = (userId, tenantId) =>
  xkit.withAccessToken(userId, 'xero', token => {
    const xero = new XeroClient()
    xero.setTokenSet({ access_token: token, token_type: 'Bearer' })
    return xero.accountingApi.getOrganisations(tenantId)
  })
// #endregion use
