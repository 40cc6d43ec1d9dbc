// Owns the check of imports, part of `npm run check`: none runs in a circle, none upward, and no child imports its parent,
// in the crate, tests included, as in the package's JavaScript.
//   node scripts/check-imports.js            fails where one does
//   node scripts/check-imports.js --graph    prints every import
'use strict'

const path = require('node:path')
const { crateModules } = require('./imports/crate.js')
const { packageModules } = require('./imports/package.js')
const { circles, parentImports, upwardImports, withoutLayer } = require('./imports/rules.js')

const ROOT = path.join(__dirname, '..')

/** From the bottom to the top, each with the folders or files that are in it. */
const CRATE_LAYERS = [
  // Leaves, which may import each other.
  [
    'certificate',
    'clock',
    'connection',
    'connector',
    'error',
    'json',
    'packed',
    'resolver',
    'secret',
    'spawn',
    'stats',
    'sync',
    'text',
  ].map(name => `core::${name}`),
  ['core::http', 'core::tokens'],
  ['core::source'],
  ['core::fleet', 'core::platform'],
  ['core::config'],
  ['core::client'],
  ['core'],
  ['core::simulation'],
  ['binding', 'core::threads'],
  ['lib'],
]

const PACKAGE_LAYERS = [['lib'], ['lib/client'], ['index'], ['emulator'], ['cli'], ['bin']]

const HALVES = [
  { ...crateModules(path.join(ROOT, 'src')), separator: '::', layers: CRATE_LAYERS },
  {
    ...packageModules(ROOT, ['index.js', 'lib', 'emulator', 'cli', 'bin']),
    separator: '/',
    layers: PACKAGE_LAYERS,
  },
]

function violations({ graph, tests, separator, layers }) {
  return [
    ...withoutLayer(graph, separator, layers).map(
      name => `${name} is in no layer of scripts/check-imports.js`,
    ),
    ...upwardImports(graph, separator, layers).map(([from, to]) => `upward: ${from} imports ${to}`),
    ...parentImports(graph, separator, tests).map(([from, to]) => `child: ${from} imports its parent ${to}`),
    ...circles(graph).map(members => `circle: ${members.join(', ')}`),
  ]
}

function main() {
  if (process.argv.includes('--graph')) {
    for (const { graph } of HALVES) {
      for (const [name, imports] of graph) console.log(`${name}: ${[...imports].sort().join(' ')}`)
    }
    return
  }
  for (const problem of HALVES.flatMap(violations)) {
    console.error(problem)
    process.exitCode = 1
  }
}

main()
