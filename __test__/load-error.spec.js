// Owns what a user reads where the native side cannot be loaded. Each case is a copy of the package, as npm would leave
// it, in a process of its own that may take itself for another platform.
'use strict'

const { spawnSync } = require('node:child_process')
const { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { optionalDependencies } = require('../package.json')
const { ownPlatform } = require('../scripts/pack.js')

const ROOT = path.join(__dirname, '..')
const OWN = ownPlatform()
const ADDON = `xkit-node.${OWN}.node`
const IS_GLIBC = OWN.endsWith('-gnu')
const ALL = Object.keys(optionalDependencies).map(name => name.slice('xkit-node-'.length))

let folder
let installed
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-load-'))
  installed = path.join(folder, 'node_modules', 'xkit-node')
  for (const name of ['package.json', 'binding.js', 'index.js', 'lib', 'bin', 'cli', 'emulator']) {
    cpSync(path.join(ROOT, name), path.join(installed, name), { recursive: true })
  }
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Puts the platform package of this machine beside the package, with these bytes for an addon. */
function installPlatformPackage(bytes) {
  const target = path.join(folder, 'node_modules', `xkit-node-${OWN}`)
  mkdirSync(target)
  cpSync(path.join(ROOT, 'npm', OWN, 'package.json'), path.join(target, 'package.json'))
  writeFileSync(path.join(target, ADDON), bytes)
}

/** What `require('xkit-node')` throws in a new process that first runs `before`. */
function load(before = '') {
  const script = `${before}
    try {
      require('xkit-node')
      console.log(JSON.stringify({ modules: Object.keys(require.cache) }))
    } catch (error) {
      const { name, message, code, cause } = error
      console.log(JSON.stringify({ name, message, code, cause: cause.message }))
    }`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

const pretend = (platform, arch) =>
  `Object.defineProperties(process, { platform: { value: '${platform}' }, arch: { value: '${arch}' } })`

const WITH_MUSL = `process.report.getReport = () => ({ header: {} })`

/** A copy of the addon that asks for a version of glibc that nobody has, by the name and its hash in the ELF tables. */
function addonForNewerGlibc() {
  const bytes = readFileSync(path.join(ROOT, ADDON))
  const minor = Math.max(
    ...Array.from(bytes.toString('latin1').matchAll(/GLIBC_2\.(\d\d)\0/g), found => found[1]),
  )
  const changes = [
    [Buffer.from(`GLIBC_2.${minor}\0`), Buffer.from(`GLIBC_9.${minor}\0`)],
    [elfHash(`GLIBC_2.${minor}`), elfHash(`GLIBC_9.${minor}`)],
  ]
  for (const [from, to] of changes) {
    for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at + 1)) to.copy(bytes, at)
  }
  return { bytes, version: `9.${minor}` }
}

function elfHash(name) {
  let hash = 0
  for (const byte of Buffer.from(name)) {
    hash = (hash << 4) + byte
    const high = hash & 0xf0000000
    hash = (hash ^ (high >>> 24)) & ~high
  }
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(hash >>> 0)
  return bytes
}

test('what explains failures is not read while all is well', () => {
  installPlatformPackage(readFileSync(path.join(ROOT, ADDON)))
  const files = load().modules.map(file => path.basename(file))
  expect(files).toContain('native.js')
  expect(files).not.toContain('load-error.js')
})

test.each([
  ['sunos', 'x64'],
  ['freebsd', 'x64'],
  ['android', 'arm64'],
  ['linux', 'ia32'],
  ['linux', 'riscv64'],
  ['linux', 'loong64'],
  ['darwin', 'ia32'],
  ['win32', 'ia32'],
  ['openharmony', 'arm64'],
])('%s on %s is named as not supported, with those that are', (platform, arch) => {
  const error = load(pretend(platform, arch))
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_UNSUPPORTED_PLATFORM' })
  expect(error.message).toContain(`does not support ${platform} ${arch}`)
  for (const target of ALL) expect(error.message).toContain(target)
  expect(error.cause).toContain('native binding')
})

test('the C library is named on Linux', () => {
  expect(load(`${pretend('linux', 's390x')}\n${WITH_MUSL}`).message).toContain('linux s390x with musl')
})

test.each([
  ['darwin', 'x64', 'darwin-x64'],
  ['darwin', 'arm64', 'darwin-arm64'],
  ['win32', 'x64', 'win32-x64-msvc'],
  ['win32', 'arm64', 'win32-arm64-msvc'],
  ['linux', 'x64', 'linux-x64-musl'],
  ['linux', 'arm64', 'linux-arm64-musl'],
])('a missing binary for %s %s is named by its package, %s', (platform, arch, target) => {
  const error = load(`${pretend(platform, arch)}\n${WITH_MUSL}`)
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_MISSING' })
  expect(error.message).toContain(`The package xkit-node-${target}, `)
  expect(error.message).toContain(`${platform} ${arch}`)
  for (const advice of ['--omit=optional', 'package-lock.json', 'bundler'])
    expect(error.message).toContain(advice)
})

test("this machine's own package is asked for where it is missing, also by the command", () => {
  expect(load()).toMatchObject({ code: 'ERR_XKIT_BINARY_MISSING' })
  expect(load().message).toContain(`The package xkit-node-${OWN}, `)

  const command = [path.join(installed, 'bin', 'xkit.js'), 'token', 'u1', 'slack']
  const { status, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' })
  expect({ status, lines: stderr.trim().split('\n').length }).toEqual({ status: 1, lines: 1 })
  expect(stderr).toContain('ERR_XKIT_BINARY_MISSING')
})

test('a binary that is there and cannot be loaded is told from one that is missing', () => {
  installPlatformPackage(Buffer.from('no binary'))
  const error = load()
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_NOT_LOADED' })
  expect(error.message).toContain(ADDON)
  expect(error.message).toContain('delete node_modules and package-lock.json')
  expect(error.message).not.toContain('\n')
})

const testWithGlibc = IS_GLIBC ? test : test.skip
testWithGlibc('a binary for a newer glibc names the version that it needs', () => {
  const { bytes, version } = addonForNewerGlibc()
  installPlatformPackage(bytes)
  const error = load()
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_NOT_LOADED' })
  expect(error.message).toContain(`It needs glibc ${version}: run it on a newer system.`)
  expect(error.message).toContain(`with glibc ${process.report.getReport().header.glibcVersionRuntime}`)
})
