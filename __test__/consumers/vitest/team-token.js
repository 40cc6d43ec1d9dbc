// The code under test: uses the default client, whose keys and addresses are in the environment.

import { getGroupAccessToken } from 'xkit-node'

export const teamToken = teamId => getGroupAccessToken(teamId, 'slack')
