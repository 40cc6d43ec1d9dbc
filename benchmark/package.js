// Owns the installation of the package as it is published, with the addon beside it, for the contender to load.
'use strict'

const { copyFileSync, rmSync, statSync } = require('node:fs')
const path = require('node:path')

const { ownPlatform, stageMain } = require('../scripts/pack.js')

const ROOT = path.join(__dirname, '..')
const FOLDER = path.join(__dirname, 'node_modules', 'xkit-node')

function stagePackage() {
  rmSync(FOLDER, { recursive: true, force: true })
  stageMain(FOLDER)
  const addon = addonName()
  copyFileSync(path.join(ROOT, addon), path.join(FOLDER, addon))
}

const addonName = () => `xkit-node.${ownPlatform()}.node`

const addonSize = () => statSync(path.join(ROOT, addonName())).size

module.exports = { addonSize, stagePackage }
