import { XkitClient } from 'xkit-node'

// Such as rediss://user:password@redis.internal:6380
const xkit = new XkitClient({ cache: { redis: process.env.REDIS_URL } })

const accessToken = await xkit.getAccessToken('some-user-id', 'slack')
