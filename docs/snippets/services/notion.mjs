import { Client } from '@notionhq/client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const notion = userId =>
  new Client({ auth: 'by xkit', fetch: (input, init) => xkit.fetch(userId, 'notion', input, init) })
// #endregion use
