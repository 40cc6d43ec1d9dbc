import ky from 'ky'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const client = userId => ky.create({ fetch: xkit.for(userId, 'example').fetch, retry: 0 })
// #endregion use
