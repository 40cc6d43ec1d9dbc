// Owns fresh projects that know the package by its tarballs alone, and the bounded processes that run in them.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const { cpSync, mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { packForThisMachine } = require('../../scripts/pack.js')

/** An install may need the machine's proxies and certificates; what is tested must not see them. */
const INSTALL_ENV = { ...process.env }
require('./clear-environment.js')
/** Plain text is what is compared, and what is read in a log. */
const TEST_ENV = { ...process.env, NO_COLOR: '1' }
delete TEST_ENV.FORCE_COLOR

const BUILD = path.join(__dirname, '..', '..', 'scripts', 'build.js')
const INSTALL_LIMIT_MS = 180_000
const IS_WINDOWS = process.platform === 'win32'

/** Ended and removed at the end of this process, whichever way that comes. */
const children = new Set()
const folders = []

process.once('exit', () => {
  for (const child of children) end(child)
  // What was just ended may be writing its last.
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

function temporaryFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-packed-'))
  folders.push(folder)
  return folder
}

/** On POSIX a child has a process group of its own, so that nothing it started outlives it. */
function end(child) {
  if (IS_WINDOWS) child.kill()
  else process.kill(-child.pid, 'SIGKILL')
}

/** Builds and packs the package and the platform package of this machine; gives the paths of both tarballs. */
function pack() {
  const folder = temporaryFolder()
  // The tests of the tree leave a development build behind.
  execFileSync(process.execPath, [BUILD], { stdio: 'inherit' })
  return packForThisMachine(folder)
}

/**
 * Runs a command to its end: `{ problem, output }`, where `problem` is undefined if it ended by itself, in time and
 * with code 0.
 */
function run(command, args, { cwd, limitMs, env = TEST_ENV }) {
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: !IS_WINDOWS,
    shell: IS_WINDOWS && command === 'npm',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  }
  child.once('spawn', () => children.add(child))
  return new Promise((resolve, reject) => {
    let isLate = false
    const limit = setTimeout(() => {
      isLate = true
      end(child)
    }, limitMs)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      children.delete(child)
      let problem
      if (isLate) problem = `did not end by itself within ${limitMs / 1000} s`
      else if (code !== 0) problem = `ended with ${signal ?? `code ${code}`}`
      resolve({ problem, output })
    })
  })
}

async function install(cwd, ...args) {
  const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier']
  const options = { cwd, limitMs: INSTALL_LIMIT_MS, env: INSTALL_ENV }
  const { problem, output } = await run('npm', [...args, ...quietly], options)
  if (problem) throw new Error(`npm ${args.join(' ')} ${problem}\n${output}`)
}

/** Installs what the lockfile in `source` names, in a new temporary folder with a copy of `source`. */
async function installCopy(source) {
  const folder = temporaryFolder()
  const filter = file => path.basename(file) !== 'node_modules'
  cpSync(source, folder, { recursive: true, filter })
  await install(folder, 'ci', '--prefer-offline')
  return folder
}

/** Adds the tarballs to a project. Offline: no registry can slip another platform package in. */
async function installTarballs(folder, tarballs) {
  await install(folder, 'install', '--no-save', '--offline', ...tarballs)
}

/** Prints one line, and the output where there is a problem; then the process will end with code 1. */
function report(title, problem, output) {
  console.log(`${problem === undefined ? 'ok    ' : 'FAILED'} ${title}`)
  if (problem === undefined) return
  console.log(`${problem}\n${output}`)
  process.exitCode = 1
}

module.exports = { INSTALL_ENV, TEST_ENV, installCopy, installTarballs, pack, report, run, temporaryFolder }
