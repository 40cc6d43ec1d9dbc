// Owns the smoke test of the package as an ES module, with its names imported one by one.

import { fileURLToPath } from 'node:url'
import {
  ConnectionUnavailableError,
  getAccessToken,
  isXkitError,
  XkitApiError,
  XkitClient,
  XkitError,
} from 'xkit-node'
import { startEmulator } from 'xkit-node/emulator'
import { smoke } from './smoke.cjs'

const xkit = { ConnectionUnavailableError, getAccessToken, isXkitError, XkitApiError, XkitClient, XkitError }
const worker = fileURLToPath(new URL('worker.mjs', import.meta.url))

await smoke({ xkit, startEmulator, worker })
