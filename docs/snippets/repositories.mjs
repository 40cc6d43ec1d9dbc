import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

export function repositories(userId, { signal } = {}) {
  return xkit.withAccessToken(
    userId,
    'github',
    accessToken =>
      fetch('https://api.github.com/user/repos', {
        headers: { authorization: `Bearer ${accessToken}` },
        signal,
      }),
    { signal },
  )
}
