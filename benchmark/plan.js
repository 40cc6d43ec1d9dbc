// Owns what is measured: the contenders of each measurement, its size in a full and in a quick run, its flags.
'use strict'

const CONTENDERS = ['xkit-node', 'undici', 'fetch', 'axios']
/** Those that speak HTTP/2 without being rewritten. */
const HTTP2_CONTENDERS = ['xkit-node', 'undici']
/** The others are slower by far. */
const RIVALS_IN_LATENCY = ['xkit-node', 'undici']

const FULL = {
  rounds: 5,
  throughput: { concurrency: 50, warmUpMs: 1000, durationMs: 3000 },
  latency: { concurrency: 1, warmUpMs: 500, durationMs: 2000 },
  distance: { concurrency: 50, warmUpMs: 500, durationMs: 2000 },
  connections: { concurrency: 10_000 },
  // Longer than anything that is kept for a second only, so that its renewal is part of the figure.
  cached: { warmUpMs: 300, durationMs: 1500 },
  lateness: { concurrency: 2000, warmUpMs: 1000, bursts: 3, durationMs: 3000 },
  coldStart: { repetitions: 21 },
  memory: { callsPerStep: 100_000, furtherSteps: 8 },
  cachedMemory: { entries: 100_000 },
}

const QUICK = {
  rounds: 1,
  throughput: { concurrency: 50, warmUpMs: 200, durationMs: 400 },
  latency: { concurrency: 1, warmUpMs: 100, durationMs: 200 },
  distance: { concurrency: 50, warmUpMs: 100, durationMs: 200 },
  connections: { concurrency: 1000 },
  cached: { warmUpMs: 50, durationMs: 100 },
  lateness: { concurrency: 2000, warmUpMs: 100, bursts: 1, durationMs: 500 },
  coldStart: { repetitions: 3 },
  memory: { callsPerStep: 2000, furtherSteps: 2 },
  cachedMemory: { entries: 2000 },
}

/** A young generation of one size from the start: it would grow with time, and hide what else grows. */
const GROWTH_FLAGS = ['--min-semi-space-size=16', '--max-semi-space-size=16']

/** Jobs that are repeated in every round, next to each other where they are compared. */
function roundJobs(sizes) {
  const jobs = []
  for (const [transport, contenders] of [
    ['http1', CONTENDERS],
    ['tls', CONTENDERS],
    ['h2', HTTP2_CONTENDERS],
  ]) {
    jobs.push(
      contenders.map(name => ({ measurement: 'throughput', transport, name, task: sizes.throughput })),
    )
  }
  jobs.push(
    RIVALS_IN_LATENCY.map(name => ({
      measurement: 'latency',
      transport: 'tls',
      name,
      task: sizes.latency,
    })),
    RIVALS_IN_LATENCY.map(name => ({
      measurement: 'latency',
      transport: 'distant',
      name,
      task: sizes.distance,
    })),
    [{ measurement: 'connections', transport: 'tls', name: 'xkit-node', task: sizes.connections }],
    ['xkit-node', 'lru-cache'].map(name => ({
      measurement: 'cached',
      transport: 'http1',
      name,
      task: sizes.cached,
    })),
    CONTENDERS.map(name => ({ measurement: 'lateness', transport: 'http1', name, task: sizes.lateness })),
  )
  return jobs
}

function coldStartJobs() {
  const jobs = CONTENDERS.map(name => ({ measurement: 'cold-start', transport: 'tls', name, task: {} }))
  jobs.push({ ...jobs[0], name: 'xkit-node, ca', contender: 'xkit-node', caByOption: true })
  return jobs
}

/**
 * What is resident is measured with V8's own settings, as applications have them, and growth in a further process. The
 * slow contenders would take minutes for the latter, and nothing is claimed about theirs.
 */
function memoryJobs({ memory: { callsPerStep, furtherSteps }, cachedMemory }) {
  const job = (name, steps, flags) => ({
    measurement: 'memory',
    transport: 'http1',
    name,
    flags: ['--expose-gc', ...flags],
    task: { callsPerStep, furtherSteps: steps },
  })
  return [
    ...CONTENDERS.map(name => job(name, 0, [])),
    ...['xkit-node', 'undici'].map(name => job(name, furtherSteps, GROWTH_FLAGS)),
    ...['xkit-node', 'lru-tokens'].map(name => ({
      measurement: 'cached-memory',
      transport: 'http1',
      name,
      flags: ['--expose-gc', ...GROWTH_FLAGS],
      task: cachedMemory,
    })),
  ]
}

module.exports = {
  CONTENDERS,
  FULL,
  HTTP2_CONTENDERS,
  GROWTH_FLAGS,
  QUICK,
  RIVALS_IN_LATENCY,
  coldStartJobs,
  memoryJobs,
  roundJobs,
}
