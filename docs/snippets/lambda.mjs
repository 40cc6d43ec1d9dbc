import { ConnectionUnavailableError, XkitClient } from 'xkit-node'

// Outside of the handler: connections and cached tokens live as long as the instance does.
const xkit = new XkitClient({ cache: true, timeoutMs: 5000, attemptTimeoutMs: 2000 })

export async function handler(event) {
  try {
    const response = await xkit.fetch(event.userId, 'github', 'https://api.github.com/user')
    return { statusCode: response.status, body: await response.text() }
  } catch (error) {
    if (!(error instanceof ConnectionUnavailableError)) throw error
    return { statusCode: 303, headers: { location: error.connectUrl } }
  }
}
