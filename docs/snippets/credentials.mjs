import { readFile } from 'node:fs/promises'
import { XkitClient } from 'xkit-node'

// A secret that is mounted as a file, and replaced there.
const xkit = new XkitClient({
  credentials: async () => JSON.parse(await readFile(process.env.XKIT_KEYS_FILE, 'utf8')),
})

export const slackToken = userId => xkit.getAccessToken(userId, 'slack')
