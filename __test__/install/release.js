// Owns the rehearsal of a release: the gate runs in a clean copy of the sources, and what it packs is published to a
// registry of this test and installed from there by name.

const { readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const { ownPlatform, packPlatform } = require('../../scripts/pack.js')
const { platforms } = require('../../scripts/manifests.js')
const { INSTALL_ENV, run, temporaryFolder } = require('../support/packed.js')
const { standInAddon } = require('../support/stand-in-addon.js')
const { MANAGERS, checkManager, installedPlatforms } = require('./managers.js')
const { startRegistry } = require('./registry.js')

const LIMIT_MS = 180_000

async function succeed(cwd, command, ...args) {
  const { problem, output } = await run(command, args, { cwd, limitMs: LIMIT_MS, env: INSTALL_ENV })
  if (problem !== undefined) throw new Error(`${command} ${args.join(' ')} ${problem}\n${output}`)
}

function collectAddons() {
  const folder = temporaryFolder()
  for (const { folder: platform, os, cpu } of platforms()) {
    writeFileSync(path.join(folder, `xkit-node.${platform}.node`), standInAddon(os, cpu))
  }
  return folder
}

/** What the gate asks of a version that is ready, and this one may lack. */
function prepareVersion(clone) {
  const file = path.join(clone, 'package.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  manifest.repository ??= { type: 'git', url: 'git+https://git.example/xkit-node.git' }
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
  const changelog = path.join(clone, 'CHANGELOG.md')
  const section = `\n## [${manifest.version}]`
  const text = readFileSync(changelog, 'utf8')
  if (!text.includes(section)) writeFileSync(changelog, `${text}${section}\n`)
  return manifest.version
}

/** Runs the steps of the workflow's gate; gives `[tarball, tag]` in the order in which they are published. */
async function packRelease(clone) {
  const version = prepareVersion(clone)
  const tarballs = temporaryFolder()
  await succeed(clone, process.execPath, 'scripts/manifests.js')
  await succeed(clone, 'npm', 'ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund')
  await succeed(
    clone,
    process.execPath,
    'scripts/prepare-release.js',
    collectAddons(),
    tarballs,
    `v${version}`,
  )
  const lines = readFileSync(path.join(tarballs, 'release.txt'), 'utf8').trim().split('\n')
  // A build of this machine may need a newer glibc than the gate lets pass, so it comes in only now.
  packPlatform(ownPlatform(), tarballs)
  return lines.map(line => {
    const [, tarball, tag] = line.split(' ')
    return [path.join(tarballs, tarball), tag]
  })
}

/** `report(title, problem, output)` for the release, and for each package manager that installs it. */
async function rehearse(clone, report) {
  const release = await packRelease(clone)
  const registry = await startRegistry()
  try {
    for (const [tarball, tag] of release) await registry.publish(tarball, tag)
    report(
      'a release: the gate in a clean copy of the sources',
      release.length === 9 ? undefined : 'is not nine packages',
    )
    for (const manager of MANAGERS) {
      const { cwd, problem, output } = await checkManager(manager, registry.url, ['xkit-node'])
      report(`a release, by name with ${manager.name}`, problem ?? complaint(manager, cwd, output), output)
    }
  } finally {
    registry.close()
  }
}

/** npm and pnpm name the scripts that they run, or that they refuse to run; Yarn says that a package must be built. */
const SCRIPT = /xkit-node\S* (?:pre|post)?install|allowScripts|ignored build scripts|must be built/i

function complaint({ forgetsLibc }, cwd, output) {
  const own = ownPlatform()
  const found = installedPlatforms(cwd)
  const isOther = platform => platform !== own && !(forgetsLibc && isForSameProcessor(platform, own))
  if (!found.includes(own) || found.some(isOther))
    return `installed ${found.join(', ') || 'no platform package'}`
  return SCRIPT.test(output) ? 'has a script to run' : undefined
}

/** Such as linux-x64-gnu and linux-x64-musl. */
const isForSameProcessor = (one, other) => one.split('-', 2).join() === other.split('-', 2).join()

module.exports = { rehearse }
