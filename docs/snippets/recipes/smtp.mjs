import { createTransport } from 'nodemailer'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const send = (userId, mail, server = { host: 'smtp.gmail.com', port: 465, secure: true }) =>
  xkit.withAccessToken(userId, 'gmail', accessToken =>
    createTransport({ ...server, auth: { type: 'OAuth2', user: mail.from, accessToken } }).sendMail(mail),
  )
// #endregion use
