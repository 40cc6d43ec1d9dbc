import { createAdminApiClient } from '@shopify/admin-api-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const shopify = userId =>
  createAdminApiClient({
    storeDomain: 'acme.myshopify.com',
    apiVersion: '2026-10',
    accessToken: 'by xkit',
    customFetchApi: (url, init) =>
      xkit
        .for(userId, 'shopify')
        .withAccessToken(token =>
          fetch(url, { ...init, headers: { ...init.headers, 'X-Shopify-Access-Token': token } }),
        ),
  })
// #endregion use
