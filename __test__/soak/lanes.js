// Owns what the soak does to the package, in a process of its own and in the workers that it starts and terminates.
'use strict'

const { setTimeout: delay } = require('node:timers/promises')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const { XkitClient, isXkitError } = require('../..')
const { Random } = require('./random.js')

const OWNERS = 8
const LANES = 12
const WORKERS = 2
const HEARTBEAT_MS = 50
const TIMEOUT_MS = 1500
/** A call settles within its limit; the rest is the machine's share. */
const SETTLE_MS = 10_000
const KEYS = { publishableKey: 'pk_soak', secretKey: 'sk_soak_4e81' }

const { baseUrl, seed, forMs } = workerData ?? JSON.parse(process.argv[2])
const endsAt = performance.now() + forMs
const isOver = () => performance.now() >= endsAt

const outcomes = {}
const count = what => {
  outcomes[what] = (outcomes[what] ?? 0) + 1
}
const complain = text =>
  isMainThread ? process.send({ type: 'problem', text }) : parentPort.postMessage({ text })

const WEIGHTS = {
  restart: 30,
  ask: 15,
  fresh: 8,
  impatient: 8,
  abortedBefore: 3,
  invalidate: 10,
  invalidateToken: 5,
  reject: 8,
  webhook: 6,
  connection: 5,
  pause: 4,
  close: 1,
}

/** Twice, so that closing one leaves calls on the other. */
const clients = [newClient(), newClient()]

function newClient() {
  return new XkitClient({
    ...KEYS,
    baseUrl,
    cache: { ttlMs: 200, maxEntries: 5 },
    timeoutMs: TIMEOUT_MS,
    maxConcurrency: 20,
  })
}

/** Notes how a call ended, and complains of what no call may do. */
async function settle(name, owner, call) {
  let late
  const limit = new Promise(resolve => {
    late = setTimeout(() => resolve('late'), SETTLE_MS)
  })
  const ending = await Promise.race([
    call.then(
      value => ({ value }),
      error => ({ error }),
    ),
    limit,
  ])
  clearTimeout(late)
  if (ending === 'late') complain(`${name} did not settle`)
  else if (ending.error === undefined) judgeValue(name, owner, ending.value)
  else judgeError(name, ending.error)
}

function judgeValue(name, owner, value) {
  const token = typeof value === 'string' ? value : value.accessToken
  if (token !== undefined && token !== `token-of-${owner}`) complain(`${name} gave another owner's token`)
  count(`${name}: ${token === undefined ? value.status : 'token'}`)
}

function judgeError(name, error) {
  const isExpected = isXkitError(error)
    ? error.code !== 'ERR_XKIT_INTERNAL'
    : error.name === 'AbortError' || error.status === 401
  if (!isExpected) complain(`${name} ended with ${error.name} ${error.code}`)
  count(`${name}: ${error.code?.length > 2 ? error.code : (error.name ?? error.status)}`)
}

const ACTIONS = {
  /** The latest request wins: the one before is aborted, and the same is asked again, without a pause. */
  async restart(client, owner, random) {
    const calls = []
    for (let left = 1 + random.below(40); left > 0; left--) {
      const controller = new AbortController()
      calls.push(
        settle(
          'restart',
          owner,
          client.getAccessToken(owner, 'slack', { signal: controller.signal, fresh: random.below(3) === 0 }),
        ),
      )
      if (random.below(2) === 0) await delay(random.below(3))
      controller.abort()
    }
    calls.push(settle('restart', owner, client.getAccessToken(owner, 'slack')))
    await Promise.all(calls)
  },
  ask: (client, owner) => settle('ask', owner, client.getAccessToken(owner, 'slack')),
  fresh: (client, owner) => settle('fresh', owner, client.getAccessToken(owner, 'slack', { fresh: true })),
  impatient: (client, owner, random) =>
    settle('impatient', owner, client.getAccessToken(owner, 'slack', { timeoutMs: 1 + random.below(20) })),
  abortedBefore: (client, owner) =>
    settle('abortedBefore', owner, client.getAccessToken(owner, 'slack', { signal: AbortSignal.abort() })),
  connection: (client, owner) => settle('connection', owner, client.getConnection(owner, 'slack')),
  reject: (client, owner, random) =>
    settle(
      'reject',
      owner,
      client.withAccessToken(owner, 'slack', async token => {
        if (random.below(2) === 0) throw Object.assign(new Error('refused'), { status: 401 })
        return token
      }),
    ),
  invalidate: async (client, owner) => client.invalidate(owner, 'slack'),
  invalidateToken: async (client, owner) => client.invalidate(owner, 'slack', `token-of-${owner}`),
  async webhook(client, owner) {
    const payload = { connector: { slug: 'slack' }, context: { external_id: owner } }
    client.handleWebhook({ event_type: 'connection.disabled', payload })
  },
  pause: (_client, _owner, random) => delay(random.below(30)),
  async close(client) {
    clients[clients.indexOf(client)] = newClient()
    await client.close()
    count('close')
  },
}

async function lane(random) {
  while (!isOver()) {
    const client = clients[random.below(clients.length)]
    try {
      await ACTIONS[random.choose(WEIGHTS)](client, `u${random.below(OWNERS)}`, random)
    } catch (error) {
      // A client that another lane has closed meanwhile.
      if (error.code !== 'ERR_XKIT_CLOSED') complain(`threw ${error.name} ${error.code}: ${error.message}`)
    }
    // What is answered from memory would otherwise keep timers from running.
    await new Promise(setImmediate)
  }
}

const lanes = from => Promise.all(Array.from({ length: LANES }, (_, index) => lane(new Random(from + index))))

/** Starts a worker again and again, and terminates it with calls under way. */
async function workerLane(random) {
  while (!isOver()) {
    const data = { baseUrl, seed: random.below(2 ** 31), forMs: endsAt - performance.now() }
    const worker = new Worker(__filename, { workerData: data })
    worker.on('message', ({ text }) => complain(`in a worker: ${text}`))
    worker.on('error', error => complain(`a worker failed: ${error.message}`))
    await delay(Math.min(200 + random.below(1500), Math.max(0, endsAt - performance.now())))
    await worker.terminate()
    count('worker terminated')
  }
}

async function main() {
  if (!isMainThread) return lanes(seed)
  const beat = () => process.send({ type: 'heartbeat' })
  beat()
  const heartbeat = setInterval(beat, HEARTBEAT_MS)
  const random = new Random(seed ^ 0x5eed)
  const workers = Array.from({ length: WORKERS }, () => workerLane(new Random(random.below(2 ** 31))))
  await Promise.all([lanes(seed), ...workers])
  await Promise.all(clients.map(client => client.close()))
  clearInterval(heartbeat)
  process.send({ type: 'outcomes', outcomes })
  process.disconnect()
}

main()
