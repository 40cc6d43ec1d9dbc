#!/usr/bin/env node
// Owns nothing but the name `xkit-emulator`: the command itself is in cli/.
'use strict'

const { main } = require('../cli/emulator.js')

main(process.argv.slice(2))
