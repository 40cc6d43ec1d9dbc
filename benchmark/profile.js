// Owns the profile of one call over plain HTTP: which thread spends how much on it, and what the server could give.
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const { availableParallelism } = require('node:os')
const { performance } = require('node:perf_hooks')
const { setTimeout: sleep } = require('node:timers/promises')

const { XkitClient } = require('../index.js')
const { binding } = require('../lib/native.js')
const { mainThreadClock, processClock, threadTimes } = require('./cpu.js')
const { startLoad, users } = require('./load.js')
const platform = require('./platform.js')
const { startServer } = require('./server.js')
const { median, quantile } = require('./statistics.js')

const CONCURRENCY = 50
const WARM_UP_MS = 1000
const DURATION_MS = 4000
const BATCHES = 30
const WRK_SECONDS = 3
const MAX_SAMPLES = 100_000
/** The name of the threads on which requests are made. */
const WORKER_THREAD = 'xkit-node'

async function main() {
  const server = await startServer()
  try {
    const { publishableKey, secretKey } = platform
    const client = new XkitClient({ publishableKey, secretKey, baseUrl: server.transports.http1 })
    const many = await measureLoad(server, client, CONCURRENCY)
    const one = await measureLoad(server, client, 1)

    const inNative = await timed(binding, 'call', () => runLoad(client, CONCURRENCY))
    const inJavaScript = await withoutNative(client)
    await client.close()

    console.log(
      [
        `${CONCURRENCY} calls at once, µs per token`,
        table(threadRows(many)),
        'The main thread by steps, µs per token (the first two are wall time, settlement is the rest of the CPU)',
        table([
          ['arguments checked, asynchronous function entered, in JavaScript', show(inJavaScript)],
          ['the native call: arguments in, promise made, work handed over', show(inNative)],
          [
            'settlement: wake-up, result converted, promise resolved, continuations',
            rest(many.mainThread, inNative + inJavaScript),
          ],
          ['loop iterations per token', many.iterations === undefined ? '–' : many.iterations.toFixed(3)],
        ]),
        'One call after another, µs per token',
        table([['wall time', show(one.wall)], ...threadRows(one)]),
        'What the server gives wrk',
        table(await physicalLimit(server, many, one)),
      ].join('\n\n'),
    )
  } finally {
    await server.stop()
  }
}

/** Microseconds of a call up to its promise, with a native call that does nothing: too short for a stopwatch. */
async function withoutNative(client) {
  const original = binding.call
  binding.call = () => ({ accessToken: platform.token, validForMs: 0 })
  try {
    const batches = []
    for (let batch = 0; batch < BATCHES; batch++) {
      const begin = performance.now()
      for (const user of users) client.getAccessToken(user, platform.slug)
      batches.push(((performance.now() - begin) * 1000) / users.length)
      // Room for the continuations, which are no part of it.
      await sleep(0)
    }
    return median(batches)
  } finally {
    binding.call = original
  }
}

/**
 * Mean time of a method in microseconds while `run` runs; `undefined` if it was not called. The client finds the native
 * call by its name in the binding at every call, so it can be replaced.
 */
async function timed(object, method, run) {
  const original = object[method]
  const samples = []
  object[method] = (...values) => {
    const begin = performance.now()
    const result = original(...values)
    const milliseconds = performance.now() - begin
    if (samples.length < MAX_SAMPLES) samples.push(milliseconds)
    return result
  }
  try {
    await run()
  } finally {
    object[method] = original
  }
  return samples.length === 0 ? undefined : (usualMean(samples) - STOPWATCH_MS) * 1000
}

/** What a stopwatch shows for nothing. */
const STOPWATCH_MS = usualMean(
  Array.from({ length: MAX_SAMPLES }, () => {
    const begin = performance.now()
    return performance.now() - begin
  }),
)

/** The mean without the slowest hundredth: in those the thread was displaced. */
function usualMean(samples) {
  const limit = quantile(samples, 0.99)
  const usual = samples.filter(sample => sample <= limit)
  return usual.reduce((sum, sample) => sum + sample, 0) / usual.length
}

async function runLoad(client, concurrency, observe = () => undefined) {
  const load = startLoad({ getAccessToken: (id, slug) => client.getAccessToken(id, slug), concurrency })
  await Promise.race([load.done, sleep(WARM_UP_MS)])
  const before = observe(load)
  await Promise.race([load.done, sleep(DURATION_MS)])
  const after = observe(load)
  await load.stop()
  return { before, after }
}

/** Microseconds per token: of wall time, of the main thread, of the workers, of the whole process, of the server. */
async function measureLoad(server, client, concurrency) {
  const clock = mainThreadClock()
  const { before, after } = await runLoad(client, concurrency, load => ({
    at: performance.now() * 1000,
    tokens: load.tokens,
    mainThread: clock.read() / 1000,
    process: processClock() / 1000,
    server: server.cpu() / 1000,
    threads: threadTimes(),
    iterations: performance.nodeTiming.uvMetricsInfo?.loopCount,
  }))
  const tokens = after.tokens - before.tokens
  const perToken = field => (after[field] - before[field]) / tokens
  const of = threads => ({
    main: threads.filter(({ id }) => id === process.pid),
    workers: threads.filter(({ name }) => name === WORKER_THREAD),
  })
  const [was, is] = [of(before.threads), of(after.threads)]
  return {
    wall: perToken('at'),
    tokensPerSecond: 1e6 / perToken('at'),
    mainThread: perToken('mainThread'),
    mainKernelShare: kernelShare(was.main, is.main),
    workers: is.workers.length === 0 ? undefined : (busy(is.workers) - busy(was.workers)) / tokens,
    workersKernelShare: kernelShare(was.workers, is.workers),
    process: perToken('process'),
    server: perToken('server'),
    iterations: after.iterations === undefined ? undefined : perToken('iterations'),
  }
}

const busy = threads => threads.reduce((sum, { nanoseconds }) => sum + nanoseconds / 1000, 0)

function kernelShare(before, after) {
  const total = (threads, field) => threads.reduce((sum, thread) => sum + thread[field], 0)
  const user = total(after, 'userTicks') - total(before, 'userTicks')
  const kernel = total(after, 'kernelTicks') - total(before, 'kernelTicks')
  return user + kernel === 0 ? undefined : kernel / (user + kernel)
}

function threadRows({ mainThread, mainKernelShare, workers, workersKernelShare, process: all, server }) {
  return [
    ['main thread', `${show(mainThread)}${inKernel(mainKernelShare)}`],
    ['worker threads: the request', `${show(workers)}${inKernel(workersKernelShare)}`],
    ['other threads: collector and compiler of V8', rest(all, mainThread + (workers ?? 0))],
    ['the whole process', show(all)],
    ['the server', show(server)],
  ]
}

/** Throughput and latency of a client that does nothing with the answer. */
async function physicalLimit(server, many, one) {
  if (spawnSync('wrk', ['-v']).error) return [['wrk is not installed', '–']]
  const rows = []
  for (const [threads, connections] of [
    [1, 1],
    [1, CONCURRENCY],
    [availableParallelism(), CONCURRENCY],
  ]) {
    const { requestsPerSecond, serverMicroseconds } = await runWrk(server, threads, connections)
    const own = connections === 1 ? one : many
    rows.push([
      `${threads} thread${threads === 1 ? '' : 's'}, ${connections} connection${connections === 1 ? '' : 's'}`,
      `${Math.round(requestsPerSecond)} requests/s, ${show(serverMicroseconds)} µs of the server each; ` +
        `xkit-node ${Math.round(own.tokensPerSecond)} tokens/s, ${percent(own.tokensPerSecond / requestsPerSecond)} of it`,
    ])
  }
  return rows
}

async function runWrk(server, threads, connections) {
  const sizes = [`-t${threads}`, `-c${connections}`, `-d${WRK_SECONDS}s`]
  const url = `${server.transports.http1}/connections/user-1/${platform.slug}`
  const before = server.cpu()
  const output = await new Promise((resolve, reject) => {
    const wrk = spawn('wrk', [...sizes, '-H', `Authorization: ${platform.authorization}`, url])
    const chunks = []
    wrk.stdout.on('data', chunk => chunks.push(chunk))
    wrk.once('error', reject)
    wrk.once('close', () => resolve(String(Buffer.concat(chunks))))
  })
  if (/Non-2xx/.test(output)) throw new Error(output)
  const requests = Number(/(\d+) requests in/.exec(output)[1])
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)[1]),
    serverMicroseconds: (server.cpu() - before) / 1000 / requests,
  }
}

const show = value => (Number.isFinite(value) ? value.toFixed(2) : '–')
const rest = (whole, part = Number.NaN) => show(Math.max(0, whole - part))
const percent = value => `${(value * 100).toFixed(0)} %`
const inKernel = share => (share === undefined ? '' : ` (${percent(share)} of it in the kernel)`)
const table = rows => ['| | |', '|---|---|', ...rows.map(cells => `| ${cells.join(' | ')} |`)].join('\n')

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

main().catch(error => {
  console.error(error.message)
  process.exitCode = 1
})
