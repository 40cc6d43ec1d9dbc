import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()
const connection = await xkit.getConnection('some-user-id', 'slack')

// #region copy
const copy = { ...connection, accessToken: connection.accessToken }
// #endregion copy
