// The code under test: a user's Slack token, or where to send the user for one.

exports.slackToken = async (xkit, userId, { signal } = {}) => {
  const connection = await xkit.getConnection(userId, 'slack', { signal })
  if (connection.status === 'active') return { token: connection.accessToken }
  return { redirectTo: connection.connectUrl }
}
