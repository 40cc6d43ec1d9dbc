import { Octokit } from 'octokit'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const github = userId =>
  new Octokit({ request: { fetch: xkit.for(userId, 'github').fetch }, retry: { enabled: false } })
// #endregion use
