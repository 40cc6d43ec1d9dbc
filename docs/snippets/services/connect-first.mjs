import Stripe from 'stripe'
import { ConnectionUnavailableError, XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
const stripe = userId =>
  new Stripe('by xkit', {
    httpClient: Stripe.createFetchHttpClient(xkit.for(userId, 'stripe').fetch),
    maxNetworkRetries: 0,
  })

// #region use
export async function customersOrConnect(userId) {
  try {
    return await stripe(userId).customers.list()
  } catch (error) {
    const ours = xkitErrorOf(error)
    if (ours instanceof ConnectionUnavailableError) return { redirectTo: ours.connectUrl }
    throw error
  }
}
// #endregion use
