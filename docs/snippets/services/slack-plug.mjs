import { WebClient } from '@slack/web-api'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const slack = userId =>
  new WebClient(undefined, { fetch: xkit.for(userId, 'slack').fetch, retryConfig: { retries: 0 } })
// #endregion use
