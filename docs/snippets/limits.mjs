import { XkitClient } from 'xkit-node'

// A web backend: nobody waits for 20 seconds in front of a page.
const xkit = new XkitClient({ timeoutMs: 5000, attemptTimeoutMs: 2000, maxConcurrency: 50 })

export function tokenFor(userId, { signal } = {}) {
  return xkit.getAccessToken(userId, 'slack', { signal })
}

// A nightly job has time.
export function tokenForJob(userId) {
  return xkit.getAccessToken(userId, 'slack', { timeoutMs: 60_000 })
}
