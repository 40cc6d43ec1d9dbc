// Owns the facade as it is packed: one file, with the addon beside it.
'use strict'

const { execFileSync } = require('node:child_process')
const { copyFileSync, mkdtempSync, rmSync } = require('node:fs')
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
