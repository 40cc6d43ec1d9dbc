#!/usr/bin/env node
// Owns nothing but the name `xkit`: the command itself is in cli/.
'use strict'

const { main } = require('../cli/main.js')

main(process.argv.slice(2))
