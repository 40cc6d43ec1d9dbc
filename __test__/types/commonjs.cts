// Owns the import of the package from a CommonJS module, with Node's Buffers.

import xkit = require('xkit-node')
import emulator = require('xkit-node/emulator')

export const client: xkit.XkitClient<'slack'> = new xkit.XkitClient({ ca: [Buffer.from('')] })

export const owner: xkit.ConnectionOwner = { group: 'acme' }

export const started: Promise<emulator.Emulator> = emulator.startEmulator()
