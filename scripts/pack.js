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
  readdirSync,
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
/** The whole facade in one file, which only the published package has. */
const BUNDLE = 'lib/bundle.js'

/** What git and a folder hand over with the package. */
const ADDONS = 'xkit-node.*.node'

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
 * Writes the package into a folder as it is published: without what builds and tests it, without an addon, and with the
 * bundle as its entry, since each file that a start reads takes a quarter of a millisecond. `dependencies` are the fields of
 * the manifest by which the package finds its addon.
 */
function stageMain(folder, dependencies = publishedDependencies()) {
  const files = manifest.files.filter(name => name !== ADDONS)
  for (const name of ['README.md', 'LICENSE', ...files]) {
    cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true })
  }
  const { scripts, jest, napi, devDependencies, overrides, optionalDependencies, ...published } = manifest
  const exports = { ...manifest.exports, '.': { ...manifest.exports['.'], default: `./${BUNDLE}` } }
  const staged = { ...published, main: BUNDLE, exports, files, ...dependencies }
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(staged, null, 2)}\n`)
  bundleFacade(path.join(folder, BUNDLE))
}

/** Of these a package manager installs the one that fits. */
function publishedDependencies() {
  return { optionalDependencies: manifest.optionalDependencies }
}

/**
 * For the tarball of a platform package that the same project installs. An optional peer is the one kind of dependency that
 * npm, pnpm and Yarn take from the project and never look up in a registry, where anybody may own its name by now.
 */
function dependenciesBesideTarball(platform) {
  const name = `${manifest.name}-${platform}`
  return {
    peerDependencies: { [name]: manifest.version },
    peerDependenciesMeta: { [name]: { optional: true } },
  }
}

/**
 * Lines and names stay, so that an uncaught error shows the line that threw it, and so does the literal at the end of
 * `index.js`, in which Node finds the names for `import { … }`.
 */
function bundleFacade(outfile) {
  const sources = mkdtempSync(path.join(tmpdir(), 'xkit-node-sources-'))
  try {
    cpSync(path.join(ROOT, 'lib'), path.join(sources, 'lib'), { recursive: true })
    for (const name of readdirSync(sources, { recursive: true }).filter(name => name.endsWith('.js'))) {
      const file = path.join(sources, name)
      writeFileSync(file, withExports(withImports(readFileSync(file, 'utf8'))))
    }
    writeFileSync(
      path.join(sources, 'index.js'),
      withImports(readFileSync(path.join(ROOT, 'index.js'), 'utf8')),
    )
    buildSync({
      absWorkingDir: sources,
      entryPoints: ['index.js'],
      outfile: path.resolve(outfile),
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      external: ['*.node', `${manifest.name}-*`],
      logLevel: 'warning',
    })
  } finally {
    rmSync(sources, { recursive: true })
  }
}

// As ES modules, all modules share one scope. esbuild wraps a CommonJS module in a function, whose own functions V8 reads twice:
// that took a fifth of the time in which the file is loaded.

const withImports = code =>
  code
    .replaceAll(/^const (\{[^}]*\}) = require\(('\.[^']*')\)$/gm, 'import $1 from $2')
    .replaceAll(/^const (\w+) = require\(('\.[^']*')\)$/gm, 'import * as $1 from $2')

const withExports = code => code.replace(/^module\.exports = \{/m, 'export {')

function packMain(folder, dependencies) {
  const staging = mkdtempSync(path.join(tmpdir(), 'xkit-node-pack-'))
  try {
    stageMain(staging, dependencies)
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

/** The two tarballs that a project on a machine like this one installs. */
function packForThisMachine(folder) {
  const own = ownPlatform()
  return [packMain(folder, dependenciesBesideTarball(own)).path, packPlatform(own, folder).path]
}

module.exports = { ownPlatform, packForThisMachine, packMain, packPlatform, stageMain }

if (require.main === module) {
  const [folder = ROOT] = process.argv.slice(2)
  for (const tarball of packForThisMachine(folder)) console.log(tarball)
}
