// Modelled on the platform's Node.js example, with both of its slips.
const axios = require('axios')

const xkit = axios.create({
  baseUrl: 'https://app.xkit.co/api/platform', // axios reads baseURL, so this does nothing
  auth: { username: process.env.XKIT_PUBLISHABLE_KEY, password: process.env.XKIT_SECRET_KEY },
})

async function getAccessToken(userId, slug) {
  // The answer is in `data`, so these are undefined.
  const { connection, authorization } = await xkit.get(`/connections/${userId}/${slug}`)
  if (!connection.enabled) throw new Error('not enabled')
  return authorization.access_token
}

module.exports = { getAccessToken }
