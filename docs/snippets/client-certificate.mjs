import { readFileSync } from 'node:fs'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({
  cert: readFileSync(process.env.CLIENT_CERT_FILE),
  key: readFileSync(process.env.CLIENT_KEY_FILE),
})
