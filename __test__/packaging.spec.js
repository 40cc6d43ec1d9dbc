// Owns what is published: that all manifests agree, what the tarballs hold, and what a built addon gives away.
'use strict'

const { execFileSync } = require('node:child_process')
const { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { homedir, tmpdir } = require('node:os')
const path = require('node:path')
const lock = require('../package-lock.json')
const manifest = require('../package.json')
const { addonProblems, buildPaths } = require('../scripts/addons.js')
const { outdated } = require('../scripts/manifests.js')
const { ownPlatform, packMain, packPlatform, stageMain } = require('../scripts/pack.js')

const ROOT = path.join(__dirname, '..')
const MAX_INSTALLED_BYTES = 4_000_000

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

describe('the tarballs', () => {
  let main
  let platform
  beforeAll(() => {
    main = packMain(folder)
    platform = packPlatform(ownPlatform(), folder)
  })

  const filesBelow = folder =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => path.join(entry.parentPath, entry.name))

  const paths = ({ files }) => files.map(file => file.path).sort()

  test('hold the declared files of the package and no others', () => {
    const folders = ['bin', 'cli', 'emulator', 'lib'].flatMap(name => filesBelow(path.join(ROOT, name)))
    const code = folders.map(file => path.relative(ROOT, file).replaceAll(path.sep, '/'))
    expect(code.filter(file => !/\.(?:js|d\.ts)$/.test(file))).toEqual([])
    const texts = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
    const face = ['index.d.ts', 'index.js']
    expect(paths(main)).toEqual([...code, ...face, ...texts].sort())
  })

  test('hold the addon of a platform, its license, and nothing else', () => {
    const addon = `xkit-node.${ownPlatform()}.node`
    expect(paths(platform)).toEqual(['LICENSE', 'README.md', 'package.json', addon].sort())
  })

  test('ask for each platform package in exactly this version', () => {
    const text = execFileSync('tar', ['-xOzf', path.basename(main.path), 'package/package.json'], {
      cwd: folder,
    })
    const { version, optionalDependencies, scripts } = JSON.parse(text)
    const wanted = PLATFORMS.map(([, name]) => [`xkit-node-${name}`, version])
    expect(optionalDependencies).toEqual(Object.fromEntries(wanted))
    for (const name of ['install', 'prepare']) expect(scripts).not.toHaveProperty(name)
  })

  test('load one file and the addon for a first client, since each file costs time', () => {
    const staged = path.join(folder, 'staged')
    const addon = `xkit-node.${ownPlatform()}.node`
    stageMain(staged)
    copyFileSync(path.join(ROOT, addon), path.join(staged, addon))
    const script = `const { XkitClient } = require(${JSON.stringify(staged)})
      new XkitClient({ publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0' })
      console.log(Object.keys(require.cache).join('\\n'))`

    const loaded = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim().split('\n')

    expect(loaded.map(file => path.relative(staged, file))).toEqual([path.join('lib', 'facade.js'), addon])
  })

  test('have what a first token needs compiled as it is read, and nothing else', () => {
    const staged = path.join(folder, 'compiled')
    stageMain(staged)
    const facade = readFileSync(path.join(staged, 'lib', 'facade.js'), 'utf8')
    const modules = [...facade.matchAll(/"lib\/([\w-]+)\.js"(:\(function)?\(/g)]
    expect(modules.length).toBeGreaterThan(2)
    const later = modules.filter(([, , eager]) => eager === undefined).map(([, name]) => name)
    expect(later).toEqual(['bearer-fetch', 'recovery'])
  })

  test('take at most 4 MB once they are installed', () => {
    expect(main.unpackedSize + platform.unpackedSize).toBeLessThanOrEqual(MAX_INSTALLED_BYTES)
  })
})

describe('a path of the machine that built it', () => {
  test('is not in the addon', () => {
    const addons = readdirSync(ROOT).filter(name => name.endsWith('.node'))
    expect(addons).not.toHaveLength(0)
    for (const addon of addons) expect(buildPaths(readFileSync(path.join(ROOT, addon)))).toEqual([])
  })

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
  const HEADER = 64

  /** The least that tells what an addon is for. */
  function addon(os, cpu) {
    const bytes = Buffer.alloc(2 * HEADER)
    const isArm = cpu === 'arm64'
    if (os === 'linux') {
      bytes.write('\x7fELF', 'latin1')
      bytes.writeUInt16LE(isArm ? 0xb7 : 0x3e, 18)
    } else if (os === 'darwin') {
      bytes.writeUInt32LE(0xfeedfacf, 0)
      bytes.writeUInt32LE(isArm ? 0x0100000c : 0x01000007, 4)
    } else {
      bytes.write('MZ', 'latin1')
      bytes.writeUInt32LE(HEADER, 0x3c)
      bytes.write('PE', HEADER, 'latin1')
      bytes.writeUInt16LE(isArm ? 0xaa64 : 0x8664, HEADER + 4)
    }
    return bytes
  }

  function write(name, ...parts) {
    writeFileSync(
      path.join(folder, `xkit-node.${name}.node`),
      Buffer.concat(parts.map(part => Buffer.from(part))),
    )
  }

  beforeEach(() => {
    for (const [, name, { os, cpu }] of PLATFORMS) write(name, addon(os[0], cpu[0]))
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
      write(name, addon(os[0], cpu[0] === 'x64' ? 'arm64' : 'x64'))
      expect(addonProblems(folder)).toEqual([expect.stringContaining(`xkit-node.${name}.node is built for`)])
      write(name, 'no addon')
      expect(addonProblems(folder)).toEqual([`xkit-node.${name}.node is built for nothing known`])
    },
  )

  test('so is one that needs too new a system, is too large, or tells of its origin', () => {
    write('linux-x64-gnu', addon('linux', 'x64'), 'GLIBC_2.17\0GLIBC_2.34\0')
    write('linux-x64-musl', addon('linux', 'x64'), 'GLIBC_2.17\0')
    write('darwin-x64', addon('darwin', 'x64'), '/Users/builder/lib.rs\0')
    write('win32-x64-msvc', addon('win32', 'x64'), Buffer.alloc(3_600_000))
    expect(addonProblems(folder)).toEqual([
      'xkit-node.darwin-x64.node holds a path of the machine that built it: /Users/builder/lib.rs',
      'xkit-node.linux-x64-gnu.node needs glibc 2.34',
      'xkit-node.linux-x64-musl.node needs glibc, of all things',
      expect.stringMatching(/^xkit-node\.win32-x64-msvc\.node takes \d+ bytes$/),
    ])
  })
})
