import { getAccessToken, getGroupAccessToken, XkitClient } from 'xkit-node'

// The keys come from XKIT_PUBLISHABLE_KEY and XKIT_SECRET_KEY.
const userToken = await getAccessToken('some-user-id', 'slack')
const groupToken = await getGroupAccessToken('acme', 'slack')

// Or look first: a connection without a token is a value here, not an error.
const xkit = new XkitClient({ catalogUrl: 'https://acme.xkit.co' })
const connection = await xkit.getConnection('some-user-id', 'github')
const next = connection.status === 'active' ? connection.accessToken : connection.connectUrl
