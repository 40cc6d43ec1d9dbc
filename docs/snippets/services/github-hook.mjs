import { Octokit } from 'octokit'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
const authStrategy = connection => ({
  hook(request, route, parameters) {
    const endpoint = request.endpoint.merge(route, parameters)
    return connection.withAccessToken(token =>
      request({ ...endpoint, headers: { ...endpoint.headers, authorization: `Bearer ${token}` } }),
    )
  },
})

export const github = userId => new Octokit({ authStrategy, auth: xkit.for(userId, 'github') })
// #endregion use
