// Owns the installation of the package as it is published, with the addon beside it, for the contender to load.
'use strict'

const { copyFileSync, rmSync } = require('node:fs')
const path = require('node:path')

const { ownPlatform, stageMain } = require('../scripts/pack.js')

const FOLDER = path.join(__dirname, 'node_modules', 'xkit-node')

function stagePackage() {
  rmSync(FOLDER, { recursive: true, force: true })
  stageMain(FOLDER)
  const addon = `xkit-node.${ownPlatform()}.node`
  copyFileSync(path.join(__dirname, '..', addon), path.join(FOLDER, addon))
}

module.exports = { stagePackage }
