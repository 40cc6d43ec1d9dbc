// Owns what all contenders are asked for: the keys, the path and the one answer that the server gives.
'use strict'

const answer = require('./answer.json')

const publishableKey = 'pk_benchmark'
const secretKey = 'sk_benchmark'

module.exports = {
  publishableKey,
  secretKey,
  authorization: `Basic ${Buffer.from(`${publishableKey}:${secretKey}`).toString('base64')}`,
  basePath: '/api/platform',
  slug: 'slack',
  /** What goes over the wire: the answer without the white space of the file. */
  body: JSON.stringify(answer),
  token: answer.authorization.access_token,
}
