// Owns one call in a thread of its own, for the smoke test of the ES module.

import { parentPort, workerData } from 'node:worker_threads'
import { XkitClient } from 'xkit-node'

parentPort.postMessage(await new XkitClient(workerData).getAccessToken('u1', 'slack'))
