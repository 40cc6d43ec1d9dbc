import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

export async function importAfterConnecting(userId, importAll) {
  const connection = await xkit.waitForConnection(userId, 'slack', { timeoutMs: 60_000 })
  if (connection.status === 'active') return importAll(connection.accessToken)
  return { notYet: connection.status, connectAt: connection.connectUrl }
}
