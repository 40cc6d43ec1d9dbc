// Owns the tarballs, exactly as they are published: the package, and the platform packages with their addons in them.
//   npm run pack [-- FOLDER]   builds, packs the package and the platform package of this machine, and prints their paths
'use strict'

const { execFileSync } = require('node:child_process')
const {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { buildSync } = require('esbuild')
const manifest = require('../package.json')
const { isRelease } = require('./addons.js')
const { platforms } = require('./manifests.js')

const ROOT = path.join(__dirname, '..')
const FACADE = 'lib/facade.js'

/** What git and a folder hand over with the package. */
const ADDONS = 'xkit-node.*.node'

/** Left out of the one file, which has to be read for the first token; none shares a class or a state with that. */
const LATER = [
  '../package.json',
  './abort.js',
  './connection.js',
  './failure.js',
  './hosts.js',
  './leases.js',
  './rejection/index.js',
  './webhook.js',
]

/** In the one file, and not run for the first token. */
const NOT_AT_START = ['bearer-fetch', 'recovery']

/** The platform package, by the name of its folder in `npm/`, that this machine would install. */
function ownPlatform() {
  const isGlibc = process.report.getReport().header.glibcVersionRuntime !== undefined
  const libc = process.platform === 'linux' ? (isGlibc ? 'glibc' : 'musl') : undefined
  const own = platforms().find(
    platform => platform.os === process.platform && platform.cpu === process.arch && platform.libc === libc,
  )
  if (own === undefined) throw new Error(`no platform package for ${process.platform} on ${process.arch}`)
  return own.folder
}

/** Packs one folder; gives what npm tells of it (`files`, `unpackedSize` and so on) and the `path` of the tarball. */
function packFolder(source, folder) {
  mkdirSync(folder, { recursive: true })
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', path.resolve(folder)]
  const isWindows = process.platform === 'win32'
  const output = execFileSync(isWindows ? 'npm.cmd' : 'npm', args, {
    cwd: source,
    encoding: 'utf8',
    shell: isWindows,
    stdio: 'pipe',
  })
  const [packed] = JSON.parse(output)
  return { ...packed, path: path.resolve(folder, packed.filename) }
}

/**
 * Writes the package into a folder as it is published: as it is here, but for the facade, which becomes one file that is loaded
 * in the place of `index.js`, and for the addon, which is in the platform packages and in no need to be built.
 */
function stageMain(folder) {
  const files = manifest.files.filter(name => name !== ADDONS)
  for (const name of ['README.md', 'LICENSE', ...files]) {
    cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true })
  }
  const { prepare, ...scripts } = manifest.scripts
  const exports = { ...manifest.exports, '.': { ...manifest.exports['.'], default: `./${FACADE}` } }
  const staged = { ...manifest, main: FACADE, exports, files, scripts }
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(staged, null, 2)}\n`)
  const { outputFiles } = buildSync({
    entryPoints: [path.join(ROOT, FACADE)],
    write: false,
    bundle: true,
    minifySyntax: true,
    minifyWhitespace: true,
    platform: 'node',
    target: 'node20',
    external: LATER,
    logLevel: 'warning',
  })
  writeFileSync(path.join(folder, FACADE), withNames(compiledAtOnce(outputFiles[0].text)))
}

/** In parentheses, a function is compiled as it is read. V8 would skip these first, only to read each of them again. */
function compiledAtOnce(facade) {
  const module =
    /(?<=__commonJS\(\{"lib\/)([\w-]+)(\.js")(\(\w*(?:,\w+)*\)\{.*?\})(?=\}\);\s*(?:var require_|module\.exports))/gs
  return facade.replace(module, (all, name, ending, method) =>
    NOT_AT_START.includes(name) ? all : `${name}${ending}:(function${method})`,
  )
}

/** The facade with the end of `index.js`, whose literal tells Node the names for `import { … }`. */
function withNames(facade) {
  const [head, exported] = facade.trimEnd().split(/module\.exports ?= ?(?=\{\.\.\.)/)
  const face = readFileSync(path.join(ROOT, 'index.js'), 'utf8')
  return head + face.replace(`require('./${FACADE}')`, exported.replace(/;$/, ''))
}

function packMain(folder) {
  const staging = mkdtempSync(path.join(tmpdir(), 'xkit-node-pack-'))
  try {
    stageMain(staging)
    return packFolder(staging, folder)
  } finally {
    rmSync(staging, { recursive: true })
  }
}

/** Packs a platform package with the addon in the folder `addons`, which must be a release; the tree stays as it is. */
function packPlatform(platform, folder, addons = ROOT) {
  const addon = `xkit-node.${platform}.node`
  const source = path.join(addons, addon)
  if (!isRelease(readFileSync(source))) throw new Error(`${addon} is no release: run \`npm run build\``)
  const staging = mkdtempSync(path.join(tmpdir(), 'xkit-node-pack-'))
  try {
    cpSync(path.join(ROOT, 'npm', platform), staging, { recursive: true })
    copyFileSync(path.join(ROOT, 'LICENSE'), path.join(staging, 'LICENSE'))
    copyFileSync(source, path.join(staging, addon))
    return packFolder(staging, folder)
  } finally {
    rmSync(staging, { recursive: true })
  }
}

module.exports = { ownPlatform, packMain, packPlatform, stageMain }

if (require.main === module) {
  const [folder = ROOT] = process.argv.slice(2)
  console.log(packMain(folder).path)
  console.log(packPlatform(ownPlatform(), folder).path)
}
