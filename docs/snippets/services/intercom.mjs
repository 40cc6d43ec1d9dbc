import { IntercomClient } from 'intercom-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const intercom = userId =>
  new IntercomClient({
    token: 'by xkit',
    fetch: (input, init) => xkit.fetch(userId, 'intercom', input, init),
  })
// #endregion use
