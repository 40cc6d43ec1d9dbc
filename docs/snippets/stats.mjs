import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })
await Promise.all([
  xkit.getAccessToken('some-user-id', 'slack'),
  xkit.getAccessToken('some-user-id', 'slack'),
])
await xkit.getAccessToken('some-user-id', 'slack')

const { calls, requests, coalesced, cacheHits } = xkit.stats()
console.log({ calls, requests, coalesced, cacheHits })
