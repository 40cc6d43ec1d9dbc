import { XkitClient } from 'xkit-node'

export const xkit = new XkitClient({ allowHttp: process.env.NODE_ENV !== 'production' })
