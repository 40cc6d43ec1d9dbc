#!/usr/bin/env node
// Owns the name `xkit`; cli/ has the command.
'use strict'

const { main } = require('../cli/main.js')

main(process.argv.slice(2))
