import { ConnectionUnavailableError, XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true, hosts: { github: ['api.github.com'] } })

// #region use
export const readGitHub = userId => async url => {
  try {
    const response = await xkit.fetch(userId, 'github', url)
    return { status: response.status, body: await response.text() }
  } catch (error) {
    const ours = xkitErrorOf(error)
    if (ours instanceof ConnectionUnavailableError) return { connectAt: ours.connectUrl }
    return { error: ours?.message ?? 'This URL cannot be read' }
  }
}
// #endregion use
