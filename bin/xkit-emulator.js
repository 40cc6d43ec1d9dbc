#!/usr/bin/env node
// Owns the name `xkit-emulator`; cli/ has the command.
'use strict'

const { main } = require('../cli/emulator.js')

main(process.argv.slice(2))
