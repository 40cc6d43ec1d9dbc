import Stripe from 'stripe'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const stripe = userId =>
  new Stripe('by xkit', {
    httpClient: Stripe.createFetchHttpClient((input, init) => xkit.fetch(userId, 'stripe', input, init)),
  })
// #endregion use
