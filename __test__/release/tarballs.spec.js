// Owns what the tarballs of a release hold, and their sizes: `npm run test:release` builds one first.
'use strict'

const { execFileSync } = require('node:child_process')
const { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const manifest = require('../../package.json')
const { MAX_ADDON_BYTES, MAX_INSTALLED_BYTES, buildPaths } = require('../../scripts/addons.js')
const { ownPlatform, packMain, packPlatform } = require('../../scripts/pack.js')

const ROOT = path.join(__dirname, '..', '..')
const ADDON = `xkit-node.${ownPlatform()}.node`

let folder
let main
let platform
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-tarballs-'))
  main = packMain(folder)
  platform = packPlatform(ownPlatform(), folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const filesBelow = folder =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath, entry.name))

const paths = ({ files }) => files.map(file => file.path).sort()

test('the package holds the declared files and no others', () => {
  const folders = ['bin', 'cli', 'emulator', 'lib'].flatMap(name => filesBelow(path.join(ROOT, name)))
  const code = folders.map(file => path.relative(ROOT, file).replaceAll(path.sep, '/'))
  expect(code.filter(file => !/\.(?:js|d\.ts|md)$/.test(file))).toEqual([])
  const texts = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
  const face = ['index.d.ts', 'index.js', 'lib/bundle.js']
  expect(paths(main)).toEqual([...code, ...face, ...texts].sort())
})

test('a platform package holds its addon, its license, and nothing else', () => {
  expect(paths(platform)).toEqual(['LICENSE', 'README.md', 'package.json', ADDON].sort())
})

test('the package asks for each platform package in exactly this version, and has nothing to run', () => {
  const text = execFileSync('tar', ['-xOzf', path.basename(main.path), 'package/package.json'], {
    cwd: folder,
  })
  const { optionalDependencies, scripts } = JSON.parse(text)
  expect(optionalDependencies).toEqual(manifest.optionalDependencies)
  for (const name of ['install', 'prepare']) expect(scripts ?? {}).not.toHaveProperty(name)
})

test('the addon takes at most 4.5 MB, and all that is installed 5 MB', () => {
  expect(readFileSync(path.join(ROOT, ADDON)).length).toBeLessThanOrEqual(MAX_ADDON_BYTES)
  expect(main.unpackedSize + platform.unpackedSize).toBeLessThanOrEqual(MAX_INSTALLED_BYTES)
})

test('the addon holds no path of the machine that built it', () => {
  expect(buildPaths(readFileSync(path.join(ROOT, ADDON)))).toEqual([])
})

test('what a development build leaves behind is not packed', () => {
  const addons = path.join(folder, 'development')
  mkdirSync(addons)
  writeFileSync(path.join(addons, ADDON), Buffer.alloc(MAX_ADDON_BYTES + 1))
  expect(() => packPlatform(ownPlatform(), folder, addons)).toThrow(
    `${ADDON} is no release: run \`npm run build\``,
  )
})
