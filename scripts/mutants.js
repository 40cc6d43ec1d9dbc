// Owns `npm run mutants`: a tool changes one place at a time, and the tests have to notice. docs/simulation.md has what
// survived, and why.
//   npm run mutants -- rust [--shard 0/8] [--file src/core/tokens/cache.rs]    the core, by cargo-mutants; options are its own
//   npm run mutants -- js [client | leases | recovery | rejection] [--mutate lib/rejection/words.js]   lib/, by Stryker, likewise
'use strict'

const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const FOLDER = path.join(ROOT, '__test__', 'mutants')
/** Those of stryker.config.mjs. */
const GROUPS = ['client', 'leases', 'recovery', 'rejection']
const OUTCOMES = path.join(ROOT, 'target', 'mutants.out', 'outcomes.json')
const STRYKER = path.join(FOLDER, 'node_modules', '@stryker-mutator', 'core', 'bin', 'stryker.js')

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
  if (error !== undefined) throw error
  return status ?? 1
}

function rust(options) {
  if (spawnSync('cargo', ['mutants', '--version']).status !== 0) {
    console.error('There is no cargo-mutants: run `cargo install cargo-mutants --locked`')
    return 1
  }
  const files = options.includes('--file') ? [] : ['--file', 'src/core/**/*.rs']
  const status = run('cargo', 'mutants', '--output', 'target', '--no-shuffle', ...files, ...options)
  return SURVIVED.includes(status) ? judge() : status
}

/** By how cargo-mutants ends where some were missed or took too long. */
const SURVIVED = [2, 3]

/** Some may stay, with a reason each, so that not one but a share of them is a failure. */
const LEAST_PERCENT = 90

function judge() {
  const { caught, timeout, missed } = JSON.parse(readFileSync(OUTCOMES, 'utf8'))
  const percent = (100 * (caught + timeout)) / (caught + timeout + missed)
  console.log(
    `${percent.toFixed(1)} % of the viable mutants were found; at least ${LEAST_PERCENT} % have to be`,
  )
  return percent < LEAST_PERCENT ? 1 : 0
}

/** The addon has to be there: run `npm run build:dev` before. The names of groups come first, then Stryker's options. */
function js(args) {
  const firstOption = args.findIndex(arg => arg.startsWith('-'))
  const groups = firstOption === -1 ? args : args.slice(0, firstOption)
  const options = args.slice(groups.length)
  const unknown = groups.find(group => !GROUPS.includes(group))
  if (unknown !== undefined) throw new Error(`there is no group ${unknown}, but: ${GROUPS.join(', ')}`)
  // Not `npm ci`, which takes the packages away from another run.
  const installing = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']
  const installed = run('npm', ...installing, '--prefix', FOLDER)
  if (installed !== 0) return installed
  const config = path.join(FOLDER, 'stryker.config.mjs')
  let worst = 0
  for (const group of groups.length > 0 ? groups : GROUPS) {
    process.env.MUTANTS_OF = group
    worst = Math.max(worst, run(process.execPath, STRYKER, 'run', config, ...options))
  }
  return worst
}

const HALVES = { rust, js }

function main([half, ...options]) {
  if (half === undefined) return rust([]) || js([])
  if (HALVES[half] === undefined)
    throw new Error('usage: npm run mutants -- [rust | js] [options of the tool]')
  return HALVES[half](options)
}

process.exitCode = main(process.argv.slice(2))
