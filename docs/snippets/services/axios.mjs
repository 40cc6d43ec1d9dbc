import axios from 'axios'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const client = userId =>
  axios.create({ adapter: 'fetch', env: { fetch: xkit.for(userId, 'example').fetch } })
// #endregion use
