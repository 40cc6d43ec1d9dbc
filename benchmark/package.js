// Owns the package as it is published, put where the benchmark's contender finds it, with the addon beside it.
'use strict'

const { copyFileSync, rmSync } = require('node:fs')
const path = require('node:path')

const { ownPlatform, stageMain } = require('../scripts/pack.js')

const FOLDER = path.join(__dirname, '.package')

function stagePackage() {
  rmSync(FOLDER, { recursive: true, force: true })
  stageMain(FOLDER)
  const addon = `xkit-node.${ownPlatform()}.node`
  copyFileSync(path.join(__dirname, '..', addon), path.join(FOLDER, addon))
}

module.exports = { stagePackage }
