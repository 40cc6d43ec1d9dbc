// Prints one token of the platform that the environment names.
const { getAccessToken } = require('xkit-node')

getAccessToken('u1', 'slack').then(console.log)
