import ky from 'ky'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const client = userId =>
  ky.create({ fetch: (input, init) => xkit.fetch(userId, 'example', input, init) })
// #endregion use
