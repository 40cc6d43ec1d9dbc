// Owns what follows from package.json in other manifests: the platform packages, the versions, the lockfiles.
//   node scripts/manifests.js           writes it; `npm version` does so too
//   node scripts/manifests.js --check   fails where it differs
'use strict'

const { existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const SYSTEMS = { linux: 'linux', apple: 'darwin', pc: 'win32' }
const PROCESSORS = { x86_64: 'x64', aarch64: 'arm64' }
const LIBRARIES = { gnu: 'glibc', musl: 'musl' }

const read = file => (existsSync(path.join(ROOT, file)) ? readFileSync(path.join(ROOT, file), 'utf8') : '')
const json = value => `${JSON.stringify(value, null, 2)}\n`

/** A target of the build, and what npm calls it. */
function platformOf(triple) {
  // Such as x86_64-unknown-linux-musl, aarch64-apple-darwin and x86_64-pc-windows-msvc.
  const [processor, vendor, system, abi] = triple.split('-')
  const os = SYSTEMS[vendor === 'unknown' ? system : vendor]
  const cpu = PROCESSORS[processor]
  if (os === undefined || cpu === undefined) throw new Error(`cannot tell which platform ${triple} is`)
  return { triple, folder: [os, cpu, abi].filter(Boolean).join('-'), os, cpu, libc: LIBRARIES[abi] }
}

/** In the order of their names, as npm writes them. */
function platforms() {
  const found = JSON.parse(read('package.json')).napi.targets.map(platformOf)
  return found.sort((a, b) => (a.folder < b.folder ? -1 : 1))
}

function platformManifest(main, { folder, os, cpu, libc }) {
  const { version, description, keywords, license, repository, engines } = main
  const addon = `${main.napi.binaryName}.${folder}.node`
  return {
    name: `${main.name}-${folder}`,
    version,
    description,
    keywords,
    license,
    // Wanted for a publication with provenance, in each package.
    repository,
    main: addon,
    files: [addon],
    engines,
    os: [os],
    cpu: [cpu],
    libc: libc && [libc],
  }
}

/** The text that each file should have, by its path. */
function expected() {
  const main = JSON.parse(read('package.json'))
  const files = {}
  const optionalDependencies = {}
  for (const platform of platforms()) {
    const manifest = platformManifest(main, platform)
    optionalDependencies[manifest.name] = main.version
    files[`npm/${platform.folder}/package.json`] = json(manifest)
    files[`npm/${platform.folder}/README.md`] =
      `# \`${manifest.name}\`\n\nThe binary of \`${main.name}\` for ${platform.triple}. ` +
      `Install \`${main.name}\`: npm then adds this package where it fits.\n`
  }
  files['package.json'] = json({ ...main, optionalDependencies })

  const lock = JSON.parse(read('package-lock.json'))
  lock.version = main.version
  Object.assign(lock.packages[''], { version: main.version, optionalDependencies })
  for (const name of Object.keys(optionalDependencies)) {
    const entry = lock.packages[`node_modules/${name}`]
    if (entry !== undefined) entry.version = main.version
  }
  files['package-lock.json'] = json(lock)

  const ownVersion = new RegExp(`^(name = "${main.name}"\nversion = ")[^"]*`, 'm')
  for (const file of ['Cargo.toml', 'Cargo.lock']) {
    files[file] = read(file).replace(ownVersion, `$1${main.version}`)
  }
  return files
}

/** The files that differ. */
function outdated() {
  return Object.entries(expected()).flatMap(([file, text]) => (read(file) === text ? [] : [file]))
}

module.exports = { outdated, platforms }

if (require.main === module) {
  const check = process.argv.includes('--check')
  for (const [file, text] of Object.entries(expected())) {
    if (read(file) === text) continue
    if (check) {
      console.error(`${file} does not follow package.json: run \`node scripts/manifests.js\``)
      process.exitCode = 1
    } else {
      mkdirSync(path.dirname(path.join(ROOT, file)), { recursive: true })
      writeFileSync(path.join(ROOT, file), text)
      console.log(`wrote ${file}`)
    }
  }
}
