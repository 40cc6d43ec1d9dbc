// Owns the mutants of lib/: which files are changed, and by which tests each is to be found. `npm run mutants -- js`.
import { fileURLToPath } from 'node:url'

const here = name => fileURLToPath(new URL(name, import.meta.url))

/** What is changed, and the suites that have to notice; the others take long and tell nothing of it. */
const GROUPS = {
  client: {
    mutate: 'lib/client.js',
    suites: [
      ...['arguments', 'bearer-fetch', 'calls', 'close', 'default-client', 'diagnostics'],
      ...['handle', 'wait', 'webhook', 'words'],
    ],
  },
  leases: { mutate: 'lib/leases.js', suites: ['lease-rules'] },
  recovery: { mutate: 'lib/recovery.js', suites: ['bearer-fetch', 'recovery'] },
  rejection: {
    mutate: 'lib/rejection/*.js',
    suites: ['rejection', 'rejection-properties'],
  },
}
const group = process.env.MUTANTS_OF
const { mutate, suites } = GROUPS[group]

export default {
  mutate: [mutate],
  testRunner: 'jest',
  plugins: [here('node_modules/@stryker-mutator/jest-runner/dist/src/index.js')],
  coverageAnalysis: 'perTest',
  jest: {
    config: {
      testEnvironment: here('environment.cjs'),
      // A test that waits for what a mutant took away fails sooner than Stryker ends the run.
      testTimeout: 30_000,
      testMatch: suites.map(name => `<rootDir>/__test__/${name}.spec.js`),
      setupFiles: ['<rootDir>/__test__/support/clear-environment.js'],
    },
    enableFindRelatedTests: false,
  },
  concurrency: 2,
  // Far above what a busy machine needs, since a mutant that runs out of time counts as noticed.
  timeoutMS: 30_000,
  timeoutFactor: 4,
  disableTypeChecks: false,
  // TypeScript 7 has no API for Stryker's rewriting of that file, which JavaScript does not need.
  tsconfigFile: 'none',
  ignorePatterns: ['/target', '/docs', '/examples', '/benchmark', '/npm', '/src', '**/node_modules'],
  tempDirName: 'target/stryker',
  reporters: ['clear-text', 'progress-append-only', 'json'],
  jsonReporter: { fileName: `target/mutants-${group}.json` },
  thresholds: { high: 95, low: 90, break: 90 },
  clearTextReporter: { allowColor: false, logTests: false, skipFull: true },
}
