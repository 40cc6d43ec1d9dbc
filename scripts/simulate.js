// Owns `npm run simulate`: worlds for the core, each from a seed (docs/simulation.md). By default for a minute, from a seed
// that is new each time and printed.
//   npm run simulate -- --minutes 10
//   npm run simulate -- --seeds 1000 [--from 0]
//   npm run simulate -- --seed 42     one world, step by step
'use strict'

const { spawnSync } = require('node:child_process')
const { randomInt } = require('node:crypto')
const path = require('node:path')
const { parseArgs } = require('node:util')

const ROOT = path.join(__dirname, '..')
const TEST = 'core::simulation::tests::simulate'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
  },
})
for (const [name, value] of Object.entries(values)) {
  if (!/^\d{1,15}$/.test(value)) throw new Error(`--${name} takes a whole number`)
}

const isEndless = values.seeds === undefined && values.minutes === undefined
const options = {
  MINUTES: values.minutes ?? (isEndless ? '1' : undefined),
  SEEDS: values.seeds,
  FROM: values.from ?? (values.seeds === undefined ? String(randomInt(2 ** 40)) : '0'),
  SEED: values.seed,
}
const env = { ...process.env }
for (const [name, value] of Object.entries(options)) {
  if (value !== undefined) env[`XKIT_SIMULATE_${name}`] = value
}

const cargo = ['test', '--locked', '--quiet', '--profile', 'simulate', '--lib', TEST]
const test = ['--', '--exact', '--ignored', '--nocapture']
const { status, error } = spawnSync('cargo', [...cargo, ...test], { cwd: ROOT, env, stdio: 'inherit' })
if (error !== undefined) throw error
process.exitCode = status ?? 1
