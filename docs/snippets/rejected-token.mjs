import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
const answer = await xkit.withAccessToken('some-user-id', 'github', accessToken =>
  fetch('https://api.github.com/user', { headers: { authorization: `Bearer ${accessToken}` } }),
)
