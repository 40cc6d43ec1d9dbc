// Owns folders with the package as it is published, and the addon of this tree beside it.
'use strict'

const { copyFileSync, mkdtempSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { ownPlatform, stageMain } = require('../../scripts/pack.js')

const ADDON = `xkit-node.${ownPlatform()}.node`

/** A new temporary folder, which the caller removes. */
function stagePackage() {
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-node-staged-'))
  stageMain(folder)
  copyFileSync(path.join(__dirname, '..', '..', ADDON), path.join(folder, ADDON))
  return folder
}

module.exports = { ADDON, stagePackage }
