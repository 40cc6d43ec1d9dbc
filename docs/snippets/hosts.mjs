import { XkitClient } from 'xkit-node'

// #region hosts
const xkit = new XkitClient({ hosts: { github: ['api.github.com', 'uploads.github.com'] } })
// #endregion hosts

export const read = url => xkit.fetch('some-user-id', 'github', url)
