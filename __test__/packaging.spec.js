// Owns what is published: that all manifests agree, and what a built addon gives away. release/ has the tarballs.
'use strict'

const { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { homedir, tmpdir } = require('node:os')
const path = require('node:path')
const { minVersion, satisfies } = require('semver')
const lock = require('../package-lock.json')
const manifest = require('../package.json')
const { MAX_ADDON_BYTES, addonProblems, buildPaths } = require('../scripts/addons.js')
const { outdated } = require('../scripts/manifests.js')
const { standInAddon } = require('./support/stand-in-addon.js')

const ROOT = path.join(__dirname, '..')

const PLATFORMS = [
  ['x86_64-unknown-linux-gnu', 'linux-x64-gnu', { os: ['linux'], cpu: ['x64'], libc: ['glibc'] }],
  ['x86_64-unknown-linux-musl', 'linux-x64-musl', { os: ['linux'], cpu: ['x64'], libc: ['musl'] }],
  ['aarch64-unknown-linux-gnu', 'linux-arm64-gnu', { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] }],
  ['aarch64-unknown-linux-musl', 'linux-arm64-musl', { os: ['linux'], cpu: ['arm64'], libc: ['musl'] }],
  ['x86_64-apple-darwin', 'darwin-x64', { os: ['darwin'], cpu: ['x64'] }],
  ['aarch64-apple-darwin', 'darwin-arm64', { os: ['darwin'], cpu: ['arm64'] }],
  ['x86_64-pc-windows-msvc', 'win32-x64-msvc', { os: ['win32'], cpu: ['x64'] }],
  ['aarch64-pc-windows-msvc', 'win32-arm64-msvc', { os: ['win32'], cpu: ['arm64'] }],
]

let folder
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-packaging-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the manifests', () => {
  test('name the same platforms', () => {
    const folders = PLATFORMS.map(([, name]) => name).sort()
    expect(manifest.napi.targets.toSorted()).toEqual(PLATFORMS.map(([triple]) => triple).sort())
    expect(readdirSync(path.join(ROOT, 'npm')).sort()).toEqual(folders)
    expect(Object.entries(manifest.optionalDependencies)).toEqual(
      folders.map(name => [`xkit-node-${name}`, manifest.version]),
    )
  })

  test.each(PLATFORMS)('offer the binary for %s where it fits', (triple, name, { os, cpu, libc }) => {
    const { version, engines, license } = manifest
    const addon = `xkit-node.${name}.node`
    const found = require(`../npm/${name}/package.json`)
    expect(found).toMatchObject({ name: `xkit-node-${name}`, version, engines, license, os, cpu })
    expect(found.libc).toEqual(libc)
    expect({ main: found.main, files: found.files }).toEqual({ main: addon, files: [addon] })
    expect(readFileSync(path.join(ROOT, 'npm', name, 'README.md'), 'utf8')).toContain(triple)
  })

  test('follow package.json, as do the lockfiles and the version of the crate', () => {
    expect(outdated()).toEqual([])
  })

  test('name the targets that the workflow builds and tests', () => {
    const workflow = readFileSync(path.join(ROOT, '.github', 'workflows', 'build-and-test.yml'), 'utf8')
    const [, built, tested] = workflow
      .split(/^ {2}(?:build|test):$/m)
      .map(job => Array.from(job.matchAll(/\{ target: ([\w-]+)/g), ([, triple]) => triple).sort())
    expect(built).toEqual(manifest.napi.targets.toSorted())
    expect(tested).toEqual(built)
  })

  test('let `npm ci` pass over platform packages that are not there', () => {
    for (const [, name, { os, cpu, libc }] of PLATFORMS) {
      const entry = lock.packages[`node_modules/xkit-node-${name}`]
      expect(entry).toMatchObject({ version: manifest.version, optional: true, os, cpu })
      expect(entry.libc).toEqual(libc)
    }
  })

  test('install tools that run on the oldest Node the package promises, so that `npm ci` warns of none', () => {
    // The newest of that major: tools move with it.
    const oldest = `${minVersion(manifest.engines.node).major}.99.0`
    const refused = Object.entries(lock.packages).filter(
      ([, { engines }]) => engines?.node !== undefined && !satisfies(oldest, engines.node),
    )
    expect(refused.map(([name]) => name)).toEqual([])
  })

  test('run nothing when they are installed', () => {
    const all = [manifest, ...PLATFORMS.map(([, name]) => require(`../npm/${name}/package.json`))]
    for (const { scripts = {}, dependencies } of all) {
      // `prepare` is for those who install from git, and not in what is published.
      for (const name of ['preinstall', 'install', 'postinstall', 'prepublish']) {
        expect(scripts).not.toHaveProperty(name)
      }
      expect(dependencies).toBeUndefined()
    }
    // npm would run node-gyp for it.
    expect(readdirSync(ROOT)).not.toContain('binding.gyp')
  })
})

describe('a path of the machine that built it', () => {
  test.each([
    `${homedir()}${path.sep}x.rs`,
    `${ROOT}${path.sep}src/lib.rs`,
    '/home/builder/src/lib.rs',
    ['', 'root', '.rustup', 'toolchains', 'stable'].join('/'),
    '/Users/builder/work/src/lib.rs',
    'D:\\a\\xkit-node\\src\\lib.rs',
    'C:\\Users\\builder\\lib.rs',
    '/opt/cargo/registry/src/index/tokio-1.0.0/src/lib.rs',
  ])('would be found: %s', text => {
    expect(buildPaths(Buffer.from(`\0\x01${text}\0`, 'latin1'))).not.toEqual([])
  })
})

describe('before a release', () => {
  function write(name, ...parts) {
    writeFileSync(
      path.join(folder, `xkit-node.${name}.node`),
      Buffer.concat(parts.map(part => Buffer.from(part))),
    )
  }

  beforeEach(() => {
    for (const [, name, { os, cpu }] of PLATFORMS) write(name, standInAddon(os[0], cpu[0]))
  })

  test('eight addons that fit their names pass', () => {
    expect(addonProblems(folder)).toEqual([])
  })

  test.each(PLATFORMS)('the addon for %s must be there', (_triple, name) => {
    rmSync(path.join(folder, `xkit-node.${name}.node`))
    expect(addonProblems(folder)).toEqual([`xkit-node.${name}.node is missing`])
  })

  test.each(PLATFORMS)(
    'another addon in the place of that for %s is found out',
    (_triple, name, { os, cpu }) => {
      write(name, standInAddon(os[0], cpu[0] === 'x64' ? 'arm64' : 'x64'))
      expect(addonProblems(folder)).toEqual([expect.stringContaining(`xkit-node.${name}.node is built for`)])
      write(name, 'no addon')
      expect(addonProblems(folder)).toEqual([`xkit-node.${name}.node is built for nothing known`])
    },
  )

  test('so is one that needs too new a system, is too large, or tells of its origin', () => {
    write('linux-x64-gnu', standInAddon('linux', 'x64'), 'GLIBC_2.17\0GLIBC_2.34\0')
    write('linux-x64-musl', standInAddon('linux', 'x64'), 'GLIBC_2.17\0')
    write('darwin-x64', standInAddon('darwin', 'x64'), '/Users/builder/lib.rs\0')
    write('win32-x64-msvc', standInAddon('win32', 'x64'), Buffer.alloc(MAX_ADDON_BYTES))
    expect(addonProblems(folder)).toEqual([
      'xkit-node.darwin-x64.node holds a path of the machine that built it: /Users/builder/lib.rs',
      'xkit-node.linux-x64-gnu.node needs glibc 2.34',
      'xkit-node.linux-x64-musl.node needs glibc, of all things',
      expect.stringMatching(/^xkit-node\.win32-x64-msvc\.node takes \d+ bytes$/),
    ])
  })
})
