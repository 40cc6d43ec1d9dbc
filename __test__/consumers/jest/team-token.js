// The code under test: uses the default client, whose keys and addresses are in the environment.

const { getGroupAccessToken } = require('xkit-node')

exports.teamToken = teamId => getGroupAccessToken(teamId, 'slack')
