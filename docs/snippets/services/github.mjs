import { Octokit } from 'octokit'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const user = userId =>
  xkit.withAccessToken(userId, 'github', token => new Octokit({ auth: token }).rest.users.getAuthenticated())
// #endregion use
