import { BetaAnalyticsDataClient } from '@google-analytics/data'
import { OAuth2Client } from 'google-auth-library'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const metadata = userId =>
  xkit.withAccessToken(userId, 'google-analytics', async token => {
    const authClient = new OAuth2Client()
    authClient.setCredentials({ access_token: token })
    const client = new BetaAnalyticsDataClient({ authClient })
    return client.getMetadata({ name: 'properties/1/metadata' }).finally(() => client.close())
  })
// #endregion use
