import { readFileSync } from 'node:fs'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ ca: readFileSync(process.env.COMPANY_CA_FILE) })
