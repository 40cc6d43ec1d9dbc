// The code under test: a user's Slack token, or where to send the user for one.

import type { CallOptions, XkitClient } from 'xkit-node'

type Answer = { token: string } | { redirectTo: string | undefined }

export async function slackToken(xkit: XkitClient, userId: string, options?: CallOptions): Promise<Answer> {
  const connection = await xkit.getConnection(userId, 'slack', options)
  if (connection.status === 'active') return { token: connection.accessToken }
  return { redirectTo: connection.connectUrl }
}
