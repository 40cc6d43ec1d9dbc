import zendesk from 'node-zendesk'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const me = userId =>
  xkit.withAccessToken(userId, 'zendesk', token =>
    zendesk.createClient({ subdomain: 'acme', oauth: true, token }).users.me(),
  )
// #endregion use
