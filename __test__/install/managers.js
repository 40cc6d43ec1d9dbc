// Owns how each package manager adds the package to an empty project, installs it again from its lockfile, and runs a file.

const { mkdirSync, readdirSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { INSTALL_ENV, run, temporaryFolder } = require('../support/packed.js')

const LIMIT_MS = 180_000
const TOOLS = path.join(__dirname, 'node_modules')
const tool = file => [process.execPath, path.join(TOOLS, ...file.split('/'))]

/** `add` and `again` are arguments; `configure` gives the manager's own files for a registry and a cache of this test. */
const npm = name => ({
  name,
  command: tool(`${name}/bin/npm-cli.js`),
  add: ['install', '--no-audit', '--no-fund'],
  again: ['ci', '--no-audit', '--no-fund'],
  runner: [process.execPath],
  configure: registry => ({
    '.npmrc': `registry=${registry}\ncache=.cache\nupdate-notifier=false\n`,
  }),
})

const MANAGERS = [
  // It writes no `libc` into its lockfile, so that `npm ci` takes both packages for Linux.
  { ...npm('npm-10'), forgetsLibc: true },
  npm('npm-11'),
  {
    name: 'pnpm',
    command: tool('pnpm/bin/pnpm.mjs'),
    add: ['add'],
    again: ['install', '--frozen-lockfile'],
    runner: [process.execPath],
    configure: registry => ({
      '.npmrc': `registry=${registry}\n`,
      'pnpm-workspace.yaml': 'storeDir: .store\ncacheDir: .cache\nminimumReleaseAge: 0\n',
    }),
  },
  {
    name: 'Yarn',
    command: tool('@yarnpkg/cli-dist/bin/yarn.js'),
    add: ['add'],
    again: ['install', '--immutable'],
    runner: [...tool('@yarnpkg/cli-dist/bin/yarn.js'), 'node'],
    configure: registry => ({
      '.yarnrc.yml': [
        `npmRegistryServer: ${registry}`,
        'unsafeHttpWhitelist: ["127.0.0.1"]',
        'globalFolder: .yarn/global',
        'enableGlobalCache: false',
        'enableTelemetry: false',
        'npmMinimalAgeGate: 0',
        '',
      ].join('\n'),
      'yarn.lock': '',
    }),
  },
]

/** Hands out a token, as a program of the user's would. */
const TOKEN = 'token-of-u1'
const PROGRAM = `
  const { getAccessToken } = require('xkit-node')
  const { startEmulator } = require('xkit-node/emulator')
  async function main() {
    const emulator = await startEmulator({ users: { u1: { slack: { accessToken: '${TOKEN}' } } } })
    process.env.XKIT_BASE_URL = emulator.baseUrl
    process.env.XKIT_PUBLISHABLE_KEY = emulator.publishableKey
    process.env.XKIT_SECRET_KEY = emulator.secretKey
    console.log(await getAccessToken('u1', 'slack'))
    await emulator.close()
  }
  main()`

/** A project without dependencies, for `manager`, which asks no other registry than this one. */
function createProject(manager, registry) {
  const folder = temporaryFolder()
  const manifest = { name: 'consumer', version: '1.0.0', private: true }
  const files = {
    'package.json': `${JSON.stringify(manifest)}\n`,
    'app.js': PROGRAM,
    ...manager.configure(registry),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text)
  mkdirSync(path.join(folder, 'home'))
  return folder
}

/** The steps of a project's life, up to the first that fails: add, run, install again from the lockfile, run. */
async function checkManager(manager, registry, packages) {
  const cwd = createProject(manager, registry)
  const env = { ...INSTALL_ENV, HOME: path.join(cwd, 'home'), CI: 'true' }
  const steps = [
    [...manager.command, ...manager.add, ...packages],
    [...manager.runner, 'app.js'],
    [...manager.command, ...manager.again],
    [...manager.runner, 'app.js'],
  ]
  let log = ''
  for (const [command, ...args] of steps) {
    const { problem, output } = await run(command, args, { cwd, limitMs: LIMIT_MS, env })
    log += `$ ${args.join(' ')}\n${output}`
    const hasNoToken = args.at(-1) === 'app.js' && !output.includes(TOKEN)
    if (problem !== undefined || hasNoToken)
      return { cwd, problem: problem ?? 'printed no token', output: log }
  }
  return { cwd, output: log }
}

/** The platforms whose addons lie anywhere below a project. */
function installedPlatforms(cwd) {
  const files = readdirSync(cwd, { recursive: true }).map(file => path.basename(file))
  const addons = new Set(files.filter(name => /^xkit-node\..*\.node$/.test(name)))
  return Array.from(addons, name => name.split('.')[1]).sort()
}

module.exports = { MANAGERS, TOKEN, checkManager, createProject, installedPlatforms }
