// Owns what a user reads where the native side cannot be loaded. Each case is a copy of the package, as npm would leave
// it, in a process of its own that may take itself for another platform.
'use strict'

const { spawnSync } = require('node:child_process')
const {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
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
  for (const name of ['package.json', 'index.js', 'lib', 'bin', 'cli', 'emulator']) {
    cpSync(path.join(ROOT, name), path.join(installed, name), { recursive: true })
  }
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const ownAddon = () => readFileSync(path.join(ROOT, ADDON))

/** Puts the platform package of a target beside the package, with these bytes for an addon; gives the addon's path. */
function installPlatformPackage(bytes, target = OWN) {
  const platformPackage = path.join(folder, 'node_modules', `xkit-node-${target}`)
  mkdirSync(platformPackage)
  cpSync(path.join(ROOT, 'npm', target, 'package.json'), path.join(platformPackage, 'package.json'))
  const addon = path.join(platformPackage, `xkit-node.${target}.node`)
  writeFileSync(addon, bytes)
  return addon
}

/** What `require('xkit-node')` does in a new process that first runs `before`. */
function script(before) {
  return `${before}
    try {
      require('xkit-node')
      console.log(JSON.stringify({ modules: Object.keys(require.cache) }))
    } catch (error) {
      const { name, message, code, cause } = error
      console.log(JSON.stringify({ name, message, code, cause: cause?.message }))
    }`
}

/** The files that it loads, or the error that it throws. */
function load(before = '', flags = []) {
  return run([process.execPath, ...flags, '-e', script(before)])
}

/** How `xkit doctor` ends, and its first line. */
function doctor(flags = [], env = {}) {
  const command = [...flags, path.join(installed, 'bin', 'xkit.js'), 'doctor']
  const options = { encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1', ...env } }
  const { status, stdout, stderr } = spawnSync(process.execPath, command, options)
  expect(stderr).toBe('')
  return [status, stdout.split('\n', 1)[0]]
}

function run([command, ...args]) {
  const options = { cwd: folder, encoding: 'utf8', env: { ...process.env, NODE_NO_WARNINGS: '1' } }
  const { stdout, stderr } = spawnSync(command, args, options)
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

test('what only a failure needs is not read while all is well', () => {
  const addon = installPlatformPackage(ownAddon())
  const { modules } = load(`process.report.getReport = () => { throw new Error('asked for a report') }`)
  expect(modules).toContain(addon)
  expect(modules).not.toContain(path.join(installed, 'package.json'))
})

test.each(ALL)('the package for %s is found there', target => {
  const addon = installPlatformPackage(ownAddon(), target)
  const [platform, arch] = target.split('-')
  expect(load(pretend(platform, arch)).modules).toContain(addon)
})

test('an addon that was built here wins over the platform package', () => {
  const other = installPlatformPackage(ownAddon())
  const built = path.join(installed, ADDON)
  writeFileSync(built, ownAddon())
  const { modules } = load()
  expect(modules).toContain(built)
  expect(modules).not.toContain(other)
})

test('the environment can name another addon', () => {
  const other = path.join(folder, 'other.node')
  writeFileSync(other, ownAddon())
  expect(load(`process.env.NAPI_RS_NATIVE_LIBRARY_PATH = ${JSON.stringify(other)}`).modules).toContain(other)
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

test('the doctor says of a load error what the error says', () => {
  const [, missing] = doctor()
  expect(missing).toContain(load().message)
  installPlatformPackage(Buffer.from('no binary'))
  const [status, line] = doctor()
  expect(line).toContain(load().message.split(ADDON).at(-1))
  expect(line).toContain('(ERR_XKIT_BINARY_NOT_LOADED)')
  expect(status).toBe(1)
})

test('one that the environment names is told by its variable', () => {
  installPlatformPackage(ownAddon())
  const error = load(`process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nowhere/addon.node'`)
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_NOT_LOADED' })
  expect(error.message).toContain('NAPI_RS_NATIVE_LIBRARY_PATH')
  expect(error.message).not.toContain('npm install')
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
  expect(error.message).toContain(`GLIBC_${version}' not found`)
  expect(error.message).toContain('If that names a version of a library, run it on a newer system;')
  expect(error.message).toContain(`with glibc ${process.report.getReport().header.glibcVersionRuntime}`)
})

describe('an addon that the process may not load is told by that', () => {
  const known = process.allowedNodeEnvironmentFlags
  const permission = known.has('--permission') ? '--permission' : '--experimental-permission'

  function expectRefusal(error) {
    expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_NOT_LOADED' })
    expect(error.message).toContain('This process is not allowed to: ')
    for (const flag of ['--allow-addons', '--allow-fs-read', '--no-addons', '--allow-ffi', '--allow-read'])
      expect(error.message).toContain(flag)
    expect(error.message).not.toContain('npm install')
  }

  test.each([
    ['--no-addons', ['--no-addons']],
    ['a permission for addons that is missing', [permission, '--allow-fs-read=*']],
  ])('%s', (_what, flags) => {
    installPlatformPackage(ownAddon())
    expectRefusal(load('', flags))
  })

  test.each([
    ['--no-addons', ['--no-addons']],
    ['a permission for addons that is missing', [permission, '--allow-fs-read=*']],
  ])('by xkit doctor too: %s', (_what, flags) => {
    installPlatformPackage(ownAddon())
    const [status, line] = doctor(flags)
    expect(status).toBe(1)
    expect(line).toMatch(/^FAIL {2}package .*: The binary of xkit-node for .* cannot be loaded: /)
    expect(line).toContain('This process is not allowed to: ')
    expect(line).not.toMatch(/install|node_modules\b.*delete|delete node_modules/)
  })

  // Node asks for the former from version 22 on.
  test.each([
    ['a permission to read', `Object.assign(new Error('Restricted'), { code: 'ERR_ACCESS_DENIED' })`],
    ["Deno's permissions", `Object.assign(new Error('Requires ffi access'), { name: 'NotCapable' })`],
  ])('%s', (_what, thrown) => {
    installPlatformPackage(ownAddon())
    expectRefusal(load(`process.dlopen = () => { throw ${thrown} }`))
  })
})

// Only Linux lets a process have mounts of its own, and not everywhere.
const mounts = [
  'unshare',
  ['--map-root-user', '--mount', 'mount', '-t', 'tmpfs', '-o', 'noexec', 'none', tmpdir()],
]
const testWithMounts = spawnSync(...mounts).status === 0 ? test : test.skip
testWithMounts('a file system that is mounted with noexec is named', () => {
  const addon = installPlatformPackage(ownAddon())
  cpSync(path.dirname(addon), path.join(folder, 'copy'), { recursive: true })
  const mount = 'mount -t tmpfs -o noexec none "$0" && cp copy/* "$0" && exec "$@"'
  const node = [process.execPath, '-e', script('')]
  const error = run([
    'unshare',
    '--map-root-user',
    '--mount',
    'sh',
    '-c',
    mount,
    path.dirname(addon),
    ...node,
  ])
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_XKIT_BINARY_NOT_LOADED' })
  expect(error.message).toContain(': failed to map segment')
  expect(error.message).toContain(
    'if it names a segment that cannot be mapped, install it where the file system is not',
  )
})

describe('a file that somebody else names in NAPI_RS_NATIVE_LIBRARY_PATH', () => {
  const NOBODY = 65534
  let own
  let foreign
  beforeEach(() => {
    own = installPlatformPackage(ownAddon())
    foreign = path.join(folder, 'foreign.js')
    writeFileSync(foreign, `module.exports = require(${JSON.stringify(own)})`)
  })

  /** The modules that a copy of Node loads for `uid`, and whether it heeds NODE_OPTIONS. */
  function loadAs(uid, prepare) {
    const node = path.join(folder, 'node')
    cpSync(process.execPath, node)
    prepare(node)
    chmodSync(folder, 0o755)
    const code = `process.stderr.write(String(Error.stackTraceLimit)); ${script('')}`
    const env = { NAPI_RS_NATIVE_LIBRARY_PATH: foreign, NODE_OPTIONS: '--stack-trace-limit=7' }
    const { stdout, stderr } = spawnSync(node, ['-e', code], { cwd: folder, encoding: 'utf8', env, uid })
    return { modules: JSON.parse(stdout).modules, heedsOptions: stderr === '7' }
  }

  test('is not run where Object.prototype holds the name', () => {
    const { modules } = load(`Object.prototype.NAPI_RS_NATIVE_LIBRARY_PATH = ${JSON.stringify(foreign)}`)
    expect(modules).toContain(own)
    expect(modules).not.toContain(foreign)
  })

  const isRoot = process.platform === 'linux' && process.getuid() === 0
  const testAsRoot = isRoot ? test : test.skip
  // privileged.spec.js has the other ways to such rights.
  testAsRoot('is not run by a Node with the setuid bit, which ignores such variables itself', () => {
    const { modules, heedsOptions } = loadAs(0, node => {
      chownSync(node, NOBODY, NOBODY)
      chmodSync(node, 0o4755)
    })
    expect(heedsOptions).toBe(false)
    expect(modules).toContain(own)
    expect(modules).not.toContain(foreign)
  })
})
