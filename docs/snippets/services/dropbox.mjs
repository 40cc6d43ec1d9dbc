import { Dropbox } from 'dropbox'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const dropbox = userId =>
  new Dropbox({ accessToken: 'by xkit', fetch: xkit.for(userId, 'dropbox').fetch })
// #endregion use
