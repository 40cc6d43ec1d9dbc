// Owns the smoke test of the package as a CommonJS module.
'use strict'

const { startEmulator } = require('xkit-node/emulator')
const xkit = require('xkit-node')
const { smoke } = require('./smoke.cjs')

smoke({ xkit, startEmulator, worker: require.resolve('./worker.cjs') })
