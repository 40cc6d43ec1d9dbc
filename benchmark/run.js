// Owns a run of the benchmark: starts the server, measures contender by contender in turns, writes the results.
'use strict'

const { spawn } = require('node:child_process')
const { mkdirSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')

const { drawChart } = require('./chart.js')
const { addonSize, stagePackage } = require('./package.js')
const { CONTENDERS, FULL, QUICK, coldStartJobs, memoryJobs, roundJobs } = require('./plan.js')
const platform = require('./platform.js')
const { writeReport } = require('./report.js')
const { Results } = require('./results.js')
const { startServer } = require('./server.js')
const { judge } = require('./targets.js')

const MINUTE = 60_000
/** Nothing is started or goes on after it; no round begins that would leave too little for what follows the rounds. */
const RUN_LIMIT_MS = 16 * MINUTE
const RESERVE_MS = 5 * MINUTE
const CHILD_LIMIT_MS = 4 * MINUTE

const MEASUREMENTS = [
  'throughput',
  'latency',
  'connections',
  'cached',
  'lateness',
  'cold-start',
  'memory',
  'cached-memory',
]

const USAGE = `Usage: npm run bench -- [options]

  --quick           seconds instead of minutes: for development, its figures mean nothing
  --rounds N        interleaved rounds (${FULL.rounds})
  --only name,…     some contenders (${CONTENDERS.join(', ')})
                    or measurements (${MEASUREMENTS.join(', ')}) only
  --check           ends with 1 when a target is not reached, or was not measured
  --server KIND     nginx, or own: the benchmark's own server, built with cargo (nginx where it is installed)

A whole full run in which nothing failed writes benchmark/results.md and benchmark/chart.svg, any other one writes
into benchmark/.quick/.`

async function main() {
  const options = readOptions()
  if (options === undefined) {
    console.log(USAGE)
    return
  }
  const { sizes, rounds, wanted } = options
  stagePackage()
  const server = await startServer({ kind: options.server })
  const begin = Date.now()
  const run = { server, results: new Results(), addonBytes: addonSize(), deadline: begin + RUN_LIMIT_MS }
  try {
    const measuredRounds = await runRounds(run, roundJobs(sizes), rounds, wanted)
    const coldStarts = coldStartJobs().filter(wanted)
    for (let round = 0; round < sizes.coldStart.repetitions; round++) await runGroup(run, coldStarts, round)
    await runGroup(run, memoryJobs(sizes).filter(wanted), 0)

    const minutes = (Date.now() - begin) / MINUTE
    const report = writeReport({ ...run, sizes, rounds: measuredRounds, quick: options.quick, minutes })
    // What is not whole replaces no results.
    const folder =
      options.isWhole && process.exitCode === undefined ? __dirname : path.join(__dirname, '.quick')
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'results.md'), report)
    writeFileSync(path.join(folder, 'chart.svg'), drawChart(run.results))
    console.log(`\n${report}\nWritten to ${path.relative(process.cwd(), folder) || '.'}`)
    if (options.check && judge(run).some(({ reached }) => reached !== true)) process.exitCode = 1
  } finally {
    await server.stop()
  }
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      check: { type: 'boolean', default: false },
      server: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const names = values.only?.split(',').map(name => name.trim()) ?? []
  const unknown = names.filter(name => !CONTENDERS.includes(name) && !MEASUREMENTS.includes(name))
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}\n\n${USAGE}`)
  if (![undefined, 'nginx', 'own'].includes(values.server))
    throw new Error(`--server: nginx or own\n\n${USAGE}`)
  const sizes = values.quick ? QUICK : FULL
  const rounds = Number(values.rounds ?? sizes.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds needs a whole number\n\n${USAGE}`)
  return {
    quick: values.quick,
    sizes,
    rounds,
    server: values.server,
    check: values.check,
    wanted: isWanted(names),
    isWhole: !values.quick && names.length === 0,
  }
}

/** Whether a job is to be run. Rivals in cached tokens count as contenders of no other measurement. */
function isWanted(names) {
  const contenders = names.filter(name => CONTENDERS.includes(name))
  const measurements = names.filter(name => MEASUREMENTS.includes(name))
  return ({ measurement, name, contender = name }) =>
    (contenders.length === 0 || contenders.includes(contender) || contender.startsWith('lru-')) &&
    (measurements.length === 0 || measurements.includes(measurement))
}

/** Answers how many rounds there were: fewer than wanted if the time is up. */
async function runRounds(run, groups, rounds, wanted) {
  const begin = Date.now()
  for (let round = 0; round < rounds; round++) {
    const usual = round === 0 ? 0 : (Date.now() - begin) / round
    if (Date.now() + usual + RESERVE_MS > run.deadline) return round
    console.log(`round ${round + 1} of ${rounds}`)
    for (const group of groups) await runGroup(run, group.filter(wanted), round)
  }
  return rounds
}

/** Each round begins with another contender, so that none always comes first or last. */
async function runGroup(run, jobs, round) {
  for (let index = 0; index < jobs.length; index++) {
    const job = jobs[(index + round) % jobs.length]
    try {
      const result = await runJob(run, job)
      run.results.add(job, round, result)
      console.log(`  ${label(job)}: ${describe(result)}`)
    } catch (error) {
      // One that fails is missing in the results, and in the exit code; what the others measured is not lost.
      process.exitCode = 1
      console.error(`  ${label(job)} failed: ${error.message}`)
    }
  }
}

async function runJob(
  { server, deadline },
  { measurement, transport, name, contender = name, flags = [], caByOption, task },
) {
  const { basePath, body, token, ...keys } = platform
  const settings = { ...keys, baseUrl: server.transports[transport], http2: transport === 'h2' }
  const limit = Math.min(CHILD_LIMIT_MS, deadline - Date.now())
  if (limit <= 0) throw new Error('the time of the run is up')
  const before = await server.counts()
  const result = await runChild(
    flags,
    { measurement, contender, settings, ...task, ...(caByOption && { caFile: server.ca }) },
    caByOption ? {} : { NODE_EXTRA_CA_CERTS: server.ca },
    limit,
  )
  // Less the first question itself.
  const after = await server.counts()
  const requests = after.requests - before.requests - 1
  if (requests < result.calls) throw new Error(`${result.calls} answers came of ${requests} requests`)
  return { ...result, connections: after.accepted - before.accepted - 1 }
}

/** The environment is bare, so that no proxy, option or key of the caller's takes part. */
function runChild(flags, task, environment, limit) {
  const args = [...flags, path.join(__dirname, 'child.js'), JSON.stringify(task)]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: Math.ceil(limit),
      killSignal: 'SIGKILL',
    })
    const kill = () => child.kill('SIGKILL')
    process.once('exit', kill)
    const [output, errors] = [[], []]
    child.stdout.on('data', chunk => output.push(chunk))
    child.stderr.on('data', chunk => errors.push(chunk))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      process.removeListener('exit', kill)
      if (code === 0) resolve(JSON.parse(Buffer.concat(output)))
      else reject(new Error(`${signal ?? `exit code ${code}`}\n${Buffer.concat(errors)}`))
    })
  })
}

const label = ({ measurement, transport, name }) => `${measurement} ${transport} ${name}`

const describe = result =>
  Object.entries(result)
    .filter(([, value]) => typeof value === 'number')
    .map(([field, value]) => `${field} ${value >= 100 ? Math.round(value) : value.toFixed(2)}`)
    .join(', ')

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

main().catch(error => {
  console.error(error.message)
  process.exitCode = 1
})
