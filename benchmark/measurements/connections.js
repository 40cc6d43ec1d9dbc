// Owns many calls in one go, for which whoever runs it counts the connections that they open.
'use strict'

const { startLoad } = require('../load.js')

async function measure({ open, settings, concurrency }) {
  const { getAccessToken, close } = open({ ...settings, concurrency })
  await startLoad({ getAccessToken, concurrency, calls: concurrency }).done
  await close()
  return { calls: concurrency }
}

module.exports = { measure }
