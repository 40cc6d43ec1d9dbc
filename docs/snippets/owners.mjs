import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()
const ofUser = await xkit.getAccessToken('some-user-id', 'slack')
const ofGroup = await xkit.getAccessToken({ group: 'acme' }, 'slack')
const ofContext = await xkit.getAccessToken({ context: 'c1' }, 'slack')
