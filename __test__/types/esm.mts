// Owns the import of the package from an ES module, under Node's own rules.

import xkit, * as everything from 'xkit-node'
import { getAccessToken, XkitClient, XkitError } from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'
import { exactly } from './exactly.js'

export const names = [getAccessToken, XkitClient, XkitError, startEmulator, everything.getGroupAccessToken]

exactly<typeof XkitClient>()(xkit.XkitClient)

// @ts-expect-error: what the package keeps to itself cannot be imported
export const inside = import('xkit-node/lib/client.js')

// @ts-expect-error: there is no such name
export const missing = everything.createClient
