import { Client } from '@notionhq/client'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const notion = userId => new Client({ auth: 'by xkit', fetch: xkit.for(userId, 'notion').fetch })
// #endregion use
