// Owns `npm run test:threads`: schedules of threads for the core (docs/simulation.md), by default for four seconds each scenario,
// which is about a minute on two cores.
//   npm run test:threads -- --seconds 60         for so long each
//   npm run test:threads -- --schedules 100000   so many of each
'use strict'

const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { parseArgs } = require('node:util')

const ROOT = path.join(__dirname, '..')
const SECONDS = '4'

const { values } = parseArgs({ options: { seconds: { type: 'string' }, schedules: { type: 'string' } } })
for (const [name, value] of Object.entries(values)) {
  if (!/^\d{1,9}$/.test(value)) throw new Error(`--${name} takes a whole number`)
}

const env = { ...process.env }
if (values.schedules === undefined) env.XKIT_THREADS_SECONDS = values.seconds ?? SECONDS
else env.XKIT_THREADS_SCHEDULES = values.schedules

const cargo = ['test', '--locked', '--profile', 'simulate', '--lib', 'core::threads', '--', '--nocapture']
const { status, error } = spawnSync('cargo', cargo, { cwd: ROOT, env, stdio: 'inherit' })
if (error !== undefined) throw error
process.exitCode = status ?? 1
