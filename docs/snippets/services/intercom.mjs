import { IntercomClient } from 'intercom-client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const intercom = userId =>
  new IntercomClient({ token: 'by xkit', fetch: xkit.for(userId, 'intercom').fetch })
// #endregion use
