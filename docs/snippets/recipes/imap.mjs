import { ImapFlow } from 'imapflow'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const mailbox = (userId, user, server = { host: 'imap.gmail.com', port: 993, secure: true }) =>
  xkit.withAccessToken(userId, 'gmail', async accessToken => {
    const client = new ImapFlow({ ...server, auth: { user, accessToken }, logger: false })
    await client.connect()
    return client
  })
// #endregion use
