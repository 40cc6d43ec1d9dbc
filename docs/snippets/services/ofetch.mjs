import { createFetch } from 'ofetch'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const client = userId =>
  createFetch({ fetch: xkit.for(userId, 'example').fetch, defaults: { retry: 0 } })
// #endregion use
