const { getAccessToken } = require('xkit-node')

module.exports = { getAccessToken }
