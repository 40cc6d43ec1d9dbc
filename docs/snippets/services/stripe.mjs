import Stripe from 'stripe'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const stripe = userId =>
  new Stripe('by xkit', {
    httpClient: Stripe.createFetchHttpClient(xkit.for(userId, 'stripe').fetch),
    maxNetworkRetries: 0,
  })
// #endregion use
