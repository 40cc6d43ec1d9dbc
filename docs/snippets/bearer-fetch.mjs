import { XkitClient } from 'xkit-node'

const xkit = new XkitClient()

// #region fetch
const response = await xkit.fetch('some-user-id', 'github', 'https://api.github.com/user/repos')
// #endregion fetch
