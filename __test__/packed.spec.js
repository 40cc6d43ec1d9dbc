// Owns the facade as it is packed: one file, with the addon beside it.
'use strict'

const { execFileSync, spawnSync } = require('node:child_process')
const { copyFileSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { ownPlatform, stageMain } = require('../scripts/pack.js')

const ROOT = path.join(__dirname, '..')
const ADDON = `xkit-node.${ownPlatform()}.node`

let staged
beforeAll(() => {
  staged = mkdtempSync(path.join(tmpdir(), 'xkit-node-packed-'))
  stageMain(staged)
  copyFileSync(path.join(ROOT, ADDON), path.join(staged, ADDON))
})
afterAll(() => rmSync(staged, { recursive: true, force: true }))

test('a first client loads one file and the addon, since each file costs time', () => {
  const script = `const { XkitClient } = require(${JSON.stringify(staged)})
    new XkitClient({ publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0' })
    console.log(Object.keys(require.cache).join('\\n'))`

  const loaded = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim().split('\n')

  expect(loaded.map(file => path.relative(staged, file))).toEqual([path.join('lib', 'facade.js'), ADDON])
})

/** Runs a module that imports `names` from the package as it is packed; what it prints. */
function runModule(code, env = {}) {
  const file = path.join(staged, `user-${++modules}.mjs`)
  writeFileSync(file, code)
  return spawnSync(process.execPath, [file], { encoding: 'utf8', env: { ...process.env, ...env } })
}
let modules = 0

test('every name can be imported, and no other', () => {
  const { stdout, stderr } = runModule(`
    import * as xkit from './lib/facade.js'
    console.log(JSON.stringify(Object.keys(xkit)))`)
  expect(stderr).toBe('')
  const names = Object.keys(require('..'))
  // Node 22.13 and newer add a name of their own.
  const found = JSON.parse(stdout).filter(name => !['default', 'module.exports'].includes(name))
  expect(found.sort()).toEqual(names.sort())
})

test('an uncaught error shows the line that threw it, and not the whole file', () => {
  const { stderr, status } = runModule(`
    import { XkitClient } from './lib/facade.js'
    new XkitClient({ publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0', timeoutMs: 'soon' })`)
  expect(status).toBe(1)
  expect(stderr).toContain('ERR_INVALID_ARG_TYPE')
  expect(stderr.length).toBeLessThan(4000)
  for (const line of stderr.split('\n')) expect(line.length).toBeLessThan(300)
})
