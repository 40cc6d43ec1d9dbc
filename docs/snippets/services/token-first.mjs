import Stripe from 'stripe'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
const stripe = userId =>
  new Stripe('by xkit', { httpClient: Stripe.createFetchHttpClient(xkit.for(userId, 'stripe').fetch) })

// #region use
export async function customers(userId) {
  await xkit.getAccessToken(userId, 'stripe')
  return stripe(userId).customers.list()
}
// #endregion use
