import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

export async function slackStep(userId) {
  const connection = await xkit.getConnection(userId, 'slack')
  switch (connection.status) {
    case 'active':
      return { use: connection.accessToken }
    case 'pending':
      return { waitThenAskAgain: true }
    case 'not_provisioned':
    case 'not_enabled':
      return { connectAt: connection.connectUrl }
    case 'needs_reauthorization':
      return { reconnectAt: connection.connectUrl, because: connection.errorMessage }
  }
}
