// Owns `npm run test:install`: the ways to the package while no registry has it, and the rehearsal of a release, each into
// an empty project.

const { execFileSync } = require('node:child_process')
const { cpSync, existsSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { INSTALL_ENV, pack, report, run, temporaryFolder } = require('../support/packed.js')
const { runDockerfile } = require('./docker.js')
const { MANAGERS, TOKEN, checkManager, createProject } = require('./managers.js')
const { rehearse } = require('./release.js')

const ROOT = path.join(__dirname, '..', '..')
const BUILD_LIMIT_MS = 30 * 60_000
const LIMIT_MS = 180_000
/** What is built for git is to work, and need not be fast. */
const QUICK_BUILD = {
  CARGO_PROFILE_RELEASE_LTO: 'false',
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  CARGO_PROFILE_RELEASE_OPT_LEVEL: '0',
}
// The level of messages is not the one of the command that runs this.
const QUIETLY = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=notice']

/** A closed port: nothing that tarballs hold is asked of a registry. */
const NO_REGISTRY = 'http://127.0.0.1:9/'

/** A repository with what this one would commit now. */
function cloneOfHere() {
  const clone = path.join(temporaryFolder(), 'xkit-node')
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
  })
  for (const file of files.toString().split('\0').filter(Boolean)) {
    if (existsSync(path.join(ROOT, file))) cpSync(path.join(ROOT, file), path.join(clone, file))
  }
  const git = (...args) =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@test', ...args], { cwd: clone })
  git('init', '--quiet')
  git('add', '--all')
  git('commit', '--quiet', '--message', 'as it is here')
  return clone
}

function project() {
  const folder = temporaryFolder()
  writeFileSync(
    path.join(folder, 'package.json'),
    '{ "name": "consumer", "version": "1.0.0", "private": true }\n',
  )
  return folder
}

const install = (cwd, what, { limitMs = LIMIT_MS, env = INSTALL_ENV } = {}) =>
  run('npm', ['install', ...QUIETLY, ...what], { cwd, limitMs, env })

/** Whether what was installed hands a token out. */
async function use(cwd) {
  const command = ['exec', '--no', 'xkit', '--', 'token', 'u1', 'slack', '--emulator']
  const { problem, output } = await run('npm', command, { cwd, limitMs: LIMIT_MS })
  return { problem: problem ?? (/^emulated-token/m.test(output) ? undefined : 'printed no token'), output }
}

async function check(title, what, options) {
  const cwd = project()
  const installed = await install(cwd, what, options)
  const { problem, output } = installed.problem === undefined ? await use(cwd) : installed
  report(title, problem, output)
}

/** An environment with a `cargo` that does what rustup's does without a toolchain. */
function withoutRust() {
  const folder = temporaryFolder()
  writeFileSync(path.join(folder, 'cargo'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  return { ...INSTALL_ENV, PATH: `${folder}${path.delimiter}${INSTALL_ENV.PATH}` }
}

async function checkRefusal(title, what) {
  const { problem, output } = await install(project(), what, { env: withoutRust() })
  const isClear = problem !== undefined && output.includes('needs Rust') && output.includes('npm run pack')
  report(title, isClear ? undefined : 'did not fail with the reason', output)
}

/** A project that commits its tarballs and its lockfile, built as docs/deployment.md shows. */
async function checkDockerfiles(tarballs) {
  const context = createProject(MANAGERS[0], NO_REGISTRY)
  for (const tarball of tarballs) cpSync(tarball, path.join(context, path.basename(tarball)))
  const names = tarballs.map(tarball => `./${path.basename(tarball)}`)
  const installed = await run('npm', ['install', ...QUIETLY, ...names], {
    cwd: context,
    limitMs: LIMIT_MS,
    env: INSTALL_ENV,
  })
  for (const name of ['slim.Dockerfile', 'alpine.Dockerfile']) {
    const file = path.join(ROOT, 'docs', 'snippets', name)
    const { problem, output } = installed.problem
      ? installed
      : await runDockerfile(file, context, NO_REGISTRY)
    report(name, problem ?? (output.includes(TOKEN) ? undefined : 'printed no token'), output)
  }
}

async function checkTarballs(tarballs) {
  for (const manager of MANAGERS) {
    const { problem, output } = await checkManager(manager, NO_REGISTRY, tarballs)
    report(`two tarballs of \`npm run pack\`, with ${manager.name}`, problem, output)
  }
}

async function main() {
  const tarballs = pack()
  await check('two tarballs of `npm run pack`', ['--offline', ...tarballs])
  await checkTarballs(tarballs)
  await checkDockerfiles(tarballs)
  await check('a folder that was built', ['--offline', ROOT])
  await rehearse(cloneOfHere(), report)
  // The tools for the build come from npm's cache, where they are there.
  const repository = ['--prefer-offline', `git+${pathToFileURL(cloneOfHere())}`]
  await checkRefusal('a git repository, without Rust', repository)
  await check('a git repository', repository, {
    limitMs: BUILD_LIMIT_MS,
    env: { ...QUICK_BUILD, ...INSTALL_ENV },
  })
}

main()
