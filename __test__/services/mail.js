// Owns the mail servers that the recipes speak to, on loopback: SMTP and IMAP, as far as a login by a token goes.

const { once } = require('node:events')
const net = require('node:net')

/** The token of an XOAUTH2 login: `user=…`, `auth=Bearer …`, each ended by ^A, in Base64. */
const tokenOf = encoded => {
  const fields = Buffer.from(encoded, 'base64').toString().split('\u0001')
  return fields.find(field => field.startsWith('auth=Bearer '))?.slice('auth=Bearer '.length)
}

/** A server that has a greeting, and for each line of the client the lines `answer(line)`. */
async function startLines(greeting, answer) {
  const sockets = new Set()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write(`${greeting}\r\n`)
    let rest = ''
    socket.on('data', chunk => {
      const lines = `${rest}${chunk}`.split('\r\n')
      rest = lines.pop()
      for (const line of lines) {
        const answers = answer(line)
        if (answers === undefined) socket.end()
        else for (const each of answers) socket.write(`${each}\r\n`)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: server.address().port,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** `refusalOf(token)` gives the refusal of a login, or nothing; `seen` has the tokens and how many mails were taken. */
async function startSmtp(refusalOf) {
  const seen = { tokens: [], mails: 0 }
  let isBody = false
  const server = await startLines('220 mail ESMTP', line => {
    if (isBody) {
      if (line !== '.') return []
      isBody = false
      seen.mails++
      return ['250 2.0.0 taken']
    }
    const [verb, , initial] = line.split(' ')
    if (verb === 'EHLO') return ['250-mail', '250 AUTH XOAUTH2']
    if (verb === 'AUTH') {
      seen.tokens.push(tokenOf(initial))
      return [refusalOf(seen.tokens.at(-1)) ?? '235 2.7.0 Accepted']
    }
    if (verb === 'DATA') {
      isBody = true
      return ['354 go on']
    }
    return verb === 'QUIT' ? undefined : ['250 2.1.0 OK']
  })
  return { ...server, seen }
}

async function startImap(refusalOf) {
  const seen = { tokens: [] }
  const server = await startLines('* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] ready', line => {
    const [tag, verb = '', , initial] = line.split(' ')
    if (tag === '') return []
    if (verb === 'AUTHENTICATE') {
      seen.tokens.push(tokenOf(initial))
      const refusal = refusalOf(seen.tokens.at(-1))
      return [refusal === undefined ? `${tag} OK [CAPABILITY IMAP4rev1] done` : `${tag} NO ${refusal}`]
    }
    if (verb === 'LOGOUT') return ['* BYE', `${tag} OK bye`]
    if (verb === 'CAPABILITY') return ['* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR', `${tag} OK done`]
    if (verb === 'LIST') return ['* LIST () "/" INBOX', `${tag} OK done`]
    return [`${tag} OK done`]
  })
  return { ...server, seen }
}

module.exports = { startImap, startSmtp }
