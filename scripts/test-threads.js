// Owns `npm run test:threads`: schedules of threads for the core (docs/simulation.md), by default as many as take about a
// minute.
//   npm run test:threads -- --schedules 100000
'use strict'

const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { parseArgs } = require('node:util')

const ROOT = path.join(__dirname, '..')

const { values } = parseArgs({ options: { schedules: { type: 'string', default: '20000' } } })
if (!/^\d{1,9}$/.test(values.schedules)) throw new Error('--schedules takes a whole number')

const env = { ...process.env, XKIT_SCHEDULES: values.schedules }
const cargo = ['test', '--locked', '--quiet', '--profile', 'simulate', '--lib', 'core::threads']
const { status, error } = spawnSync('cargo', cargo, { cwd: ROOT, env, stdio: 'inherit' })
if (error !== undefined) throw error
process.exitCode = status ?? 1
