// Owns the mutants of lib/: which files are changed, and by which tests each is to be found. `npm run mutants -- --js`.
import { fileURLToPath } from 'node:url'

const here = name => fileURLToPath(new URL(name, import.meta.url))

/** The suites that concern these files; the tests of networks and processes take long and tell nothing of them. */
const SUITES = [
  'abort',
  'bearer-fetch',
  'cache',
  'calls',
  'handle',
  'leases',
  'recovery',
  'rejection',
  'rejection-properties',
  'states',
  'wait',
  'webhook',
]

export default {
  mutate: ['lib/client.js', 'lib/leases.js', 'lib/recovery.js', 'lib/rejection/**/*.js'],
  testRunner: 'jest',
  plugins: [here('node_modules/@stryker-mutator/jest-runner/dist/src/index.js')],
  coverageAnalysis: 'perTest',
  jest: {
    config: {
      testEnvironment: here(
        'node_modules/@stryker-mutator/jest-runner/dist/src/jest-plugins/jest-environment-node.cjs',
      ),
      testTimeout: 20_000,
      testMatch: SUITES.map(name => `<rootDir>/__test__/${name}.spec.js`),
      setupFiles: ['<rootDir>/__test__/support/clear-environment.js'],
    },
    enableFindRelatedTests: false,
  },
  concurrency: 2,
  timeoutMS: 20_000,
  disableTypeChecks: false,
  // TypeScript 7 has no API for Stryker's rewriting of that file, which JavaScript does not need.
  tsconfigFile: 'none',
  ignorePatterns: ['/target', '/docs', '/examples', '/benchmark', '/npm', '/src', '**/node_modules'],
  tempDirName: 'target/stryker',
  reporters: ['clear-text', 'progress-append-only', 'json'],
  jsonReporter: { fileName: 'target/mutants-lib.json' },
  thresholds: { high: 95, low: 90, break: 90 },
  clearTextReporter: { allowColor: false, logTests: false, skipFull: true },
}
