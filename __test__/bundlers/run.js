// Owns `npm run test:bundlers`: where the packed package goes next. Each tool packs or traces a program, and what it made
// runs elsewhere, with nothing of the project beside it.

const { spawn } = require('node:child_process')
const { cpSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { createServer } = require('node:net')
const path = require('node:path')
const { startEmulator } = require('../../emulator')
const {
  INSTALL_ENV,
  TEST_ENV,
  installCopy,
  installTarballs,
  pack,
  report,
  run,
  temporaryFolder,
} = require('../support/packed.js')

const SNIPPETS = path.join(__dirname, '..', '..', 'docs', 'snippets')
const LIMIT_MS = 300_000
const START_LIMIT_MS = 60_000
const TOKEN = 'token-of-u1'

/** The project with its tools and the package, and the environment of a deployment. */
let project
let env

const tool = (name, file, ...args) => [
  process.execPath,
  path.join(project, 'node_modules', name, file),
  ...args,
]

const succeed = async (cwd, [command, ...args], environment = INSTALL_ENV) => {
  const { problem, output } = await run(command, args, { cwd, limitMs: LIMIT_MS, env: environment })
  if (problem !== undefined) throw new Error(`${args.join(' ')} ${problem}\n${output}`)
  return output
}

/** Runs a program in a folder of its own, with `files` of the project beside it. */
async function runElsewhere(program, files) {
  const folder = temporaryFolder()
  for (const file of files)
    cpSync(path.join(project, file), path.join(folder, file), { recursive: true, dereference: true })
  const output = await succeed(folder, [process.execPath, program], env)
  if (!output.includes(TOKEN)) throw new Error(`printed no token:\n${output}`)
}

/** What an installation without the tools holds. */
const INSTALLED = [
  'node_modules/xkit-node',
  `node_modules/xkit-node-${require('../../scripts/pack.js').ownPlatform()}`,
]

const CHECKS = {
  async '@vercel/nft traces the addon'() {
    const { nodeFileTrace } = require(path.join(project, 'node_modules', '@vercel', 'nft'))
    const { fileList } = await nodeFileTrace([path.join(project, 'app.js')], { base: project })
    await runElsewhere('app.js', fileList)
  },
  async 'esbuild leaves it external'() {
    const [command, ...args] = readFileSync(path.join(SNIPPETS, 'esbuild.sh'), 'utf8').trim().split(' ')
    await succeed(project, tool(command, 'bin/esbuild', ...args))
    await runElsewhere('dist/app.js', ['dist/app.js', ...INSTALLED])
  },
  async 'webpack leaves it external'() {
    const script = `const webpack = require('webpack')
      const config = require('./webpack.config.cjs')
      webpack({ ...config, mode: 'production', output: { path: __dirname + '/packed', filename: 'app.js' } }, (error, stats) => {
        if (error ?? stats.hasErrors()) throw error ?? new Error(stats.toString())
      })`
    cpSync(path.join(SNIPPETS, 'webpack.config.cjs'), path.join(project, 'webpack.config.cjs'))
    writeFileSync(path.join(project, 'webpack.js'), script)
    await succeed(project, [process.execPath, 'webpack.js'])
    await runElsewhere('packed/app.js', ['packed', ...INSTALLED])
  },
  async 'rollup leaves it external'() {
    cpSync(path.join(SNIPPETS, 'rollup.config.mjs'), path.join(project, 'rollup.config.mjs'))
    await succeed(project, tool('rollup', 'dist/bin/rollup', '--config', 'rollup.config.mjs'))
    await runElsewhere('dist/app.mjs', ['dist/app.mjs', ...INSTALLED])
  },
  'Next.js, built by Turbopack, as a standalone server': () => checkNext(),
  'Next.js, built by webpack, as a standalone server': () => checkNext('--webpack'),
}

async function checkNext(...flags) {
  const config = readFileSync(path.join(SNIPPETS, 'next.config.mjs'), 'utf8')
  // The folder is in no repository, and Next.js would look for its root above it.
  const standalone = config.replace(
    '{ ',
    `{ output: 'standalone', outputFileTracingRoot: import.meta.dirname, turbopack: { root: import.meta.dirname }, `,
  )
  writeFileSync(path.join(project, 'next.config.mjs'), standalone)
  const next = tool('next', 'dist/bin/next', 'build', ...flags)
  await succeed(project, next, { ...INSTALL_ENV, NEXT_TELEMETRY_DISABLED: '1' })
  const folder = temporaryFolder()
  cpSync(path.join(project, '.next', 'standalone'), folder, { recursive: true, verbatimSymlinks: true })
  const body = await askServer(folder)
  if (body !== TOKEN) throw new Error(`the server answered ${body}`)
}

/** Starts `server.js` there, and gives what its route answers. */
async function askServer(cwd) {
  const port = await freePort()
  const server = spawn(process.execPath, ['server.js'], {
    cwd,
    env: { ...env, PORT: String(port), HOSTNAME: '127.0.0.1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error('the server did not start')), START_LIMIT_MS)
      server.once('exit', code => reject(new Error(`the server ended with ${code}`)))
      server.stdout.on('data', chunk => {
        if (!String(chunk).includes('Ready')) return
        clearTimeout(limit)
        resolve()
      })
    })
    const response = await fetch(`http://127.0.0.1:${port}/token`)
    return await response.text()
  } finally {
    server.removeAllListeners('exit').kill()
  }
}

function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function main() {
  const tarballs = pack()
  project = await installCopy(__dirname)
  cpSync(path.join(__dirname, 'project'), project, { recursive: true })
  mkdirSync(path.join(project, 'dist'))
  await installTarballs(project, tarballs)
  const emulator = await startEmulator({ users: { u1: { slack: { accessToken: TOKEN } } } })
  env = {
    ...TEST_ENV,
    XKIT_BASE_URL: emulator.baseUrl,
    XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
    XKIT_SECRET_KEY: emulator.secretKey,
  }
  for (const [title, check] of Object.entries(CHECKS)) {
    await check().then(
      () => report(title),
      error => report(title, error.message, ''),
    )
  }
  await emulator.close()
}

main()
