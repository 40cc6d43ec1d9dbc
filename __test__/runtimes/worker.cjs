// Owns one call in a thread of its own, for the smoke test of the CommonJS module.
'use strict'

const { parentPort, workerData } = require('node:worker_threads')
const { XkitClient } = require('xkit-node')

new XkitClient(workerData).getAccessToken('u1', 'slack').then(token => parentPort.postMessage(token))
