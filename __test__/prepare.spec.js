// Owns when npm's `prepare` builds the addon, and what it says where it cannot. `npm run test:install` does it in earnest.
'use strict'

const { spawnSync } = require('node:child_process')
const {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')

const SOURCE = path.join(__dirname, '..')

let folder
let root
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-prepare-'))
  root = path.join(folder, 'xkit-node')
  mkdirSync(path.join(root, 'scripts'), { recursive: true })
  for (const file of ['Cargo.toml', path.join('scripts', 'prepare.js')]) {
    copyFileSync(path.join(SOURCE, file), path.join(root, file))
  }
  build('require("node:fs").writeFileSync("built", "")')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** What the build is in this copy. */
const build = code => writeFileSync(path.join(root, 'scripts', 'build.js'), code)
const isBuilt = () => existsSync(path.join(root, 'built'))

function installTools() {
  mkdirSync(path.join(root, 'node_modules', '@napi-rs', 'cli'), { recursive: true })
}

/** Runs it as npm does for a project, with nothing in PATH but a `cargo` that ends with this code. */
function prepare(project, cargo) {
  const bin = path.join(folder, 'bin')
  mkdirSync(bin)
  if (cargo !== undefined) {
    writeFileSync(path.join(bin, 'cargo'), `#!/bin/sh\nexit ${cargo}\n`, { mode: 0o755 })
  }
  const env = { PATH: bin, ...(project && { npm_config_local_prefix: project }) }
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/prepare.js'], {
    cwd: root,
    encoding: 'utf8',
    env,
  })
  return { status, stdout, stderr }
}

const NOTHING = { status: 0, stdout: '', stderr: '' }

test("does nothing for the package's own npm ci, whichever path leads there", () => {
  const link = path.join(folder, 'link')
  symlinkSync(root, link, 'junction')
  expect(prepare(link)).toEqual(NOTHING)
  expect(isBuilt()).toBe(false)
})

test('does nothing for another project where the addon is there', () => {
  writeFileSync(path.join(root, 'xkit-node.linux-x64-gnu.node'), '')
  expect(prepare(folder)).toEqual(NOTHING)
  expect(isBuilt()).toBe(false)
})

// What follows is run with a shell script for a cargo.
const testOnPosix = process.platform === 'win32' ? test.skip : test

testOnPosix.each([
  ['another project', () => folder],
  ['a package manager that does not tell the project', () => undefined],
])('builds for %s, and says that it takes minutes', (_whom, project) => {
  installTools()
  const { status, stdout, stderr } = prepare(project(), 0)
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).toContain('takes some minutes')
  expect(isBuilt()).toBe(true)
})

testOnPosix('fails where the build does', () => {
  installTools()
  build('process.exitCode = 101')
  expect(prepare(folder, 0)).toMatchObject({ status: 101 })
})

testOnPosix.each([
  ['is no cargo', undefined],
  ['is a cargo without a toolchain', 1],
])('says what to do where there %s', (_what, cargo) => {
  installTools()
  const { status, stdout, stderr } = prepare(folder, cargo)
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  for (const words of ['needs Rust', 'install Rust 1.88 or newer', 'npm run pack'])
    expect(stderr).toContain(words)
  expect(isBuilt()).toBe(false)
})

testOnPosix('says what to do where the tools of the build are not installed', () => {
  const { status, stderr } = prepare(folder, 0)
  expect(status).toBe(1)
  expect(stderr).toContain('run `npm ci && npm run build` there')
  expect(isBuilt()).toBe(false)
})
