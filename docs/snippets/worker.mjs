import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient() // one for this thread

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url))
  const [status] = await once(worker, 'message')
  console.log('in the worker:', status)
} else {
  const { status } = await xkit.getConnection('some-user-id', 'slack')
  parentPort.postMessage(status)
}
