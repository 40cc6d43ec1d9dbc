// Owns the list of what is run.

module.exports = [...require('./sdks.js'), ...require('./clients.js')]
