// Owns the gate before a release: every addon and every manifest is right, or nothing is packed.
//   node scripts/prepare-release.js <folder of the addons> <folder for the tarballs> <tag>
'use strict'

const { readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')
const manifest = require('../package.json')
const { MAX_INSTALLED_BYTES, addonProblems } = require('./addons.js')
const { outdated, platforms } = require('./manifests.js')
const { packMain, packPlatform } = require('./pack.js')

function manifestProblems(tag) {
  const { version, repository } = manifest
  const changelog = readFileSync(path.join(__dirname, '..', 'CHANGELOG.md'), 'utf8')
  return [
    ...outdated().map(file => `${file} does not follow package.json: run \`node scripts/manifests.js\``),
    tag !== `v${version}` && `the tag is ${tag}, the version ${version}`,
    !changelog.includes(`\n## [${version}]`) && `CHANGELOG.md has no section ${version}`,
    // The registry compares it with where the workflow ran.
    repository === undefined && 'package.json names no repository, which a publication with provenance needs',
  ].filter(Boolean)
}

/** Packs all, the package itself last: once it can be installed, so can its platform packages. */
function packAll(addons, folder) {
  const ownPackage = packMain(folder)
  const platformPackages = platforms().map(platform => packPlatform(platform.folder, folder, addons))
  const tooLarge = platformPackages.flatMap(({ name, unpackedSize }) => {
    const bytes = ownPackage.unpackedSize + unpackedSize
    return bytes > MAX_INSTALLED_BYTES ? [`${name} and the package take ${bytes} bytes`] : []
  })
  return { packed: [...platformPackages, ownPackage], tooLarge }
}

function main([addons, folder, tag]) {
  if (tag === undefined)
    return ['usage: prepare-release.js <folder of the addons> <folder for the tarballs> <tag>']
  const problems = [...addonProblems(addons), ...manifestProblems(tag)]
  if (problems.length > 0) return problems
  const { packed, tooLarge } = packAll(addons, folder)
  const channel = manifest.version.includes('-') ? 'next' : 'latest'
  const lines = packed.map(({ id, filename }) => `${id} ${filename} ${channel}\n`)
  writeFileSync(path.join(folder, 'release.txt'), lines.join(''))
  return tooLarge
}

const problems = main(process.argv.slice(2))
for (const problem of problems) console.error(problem)
process.exitCode = problems.length === 0 ? 0 : 1
