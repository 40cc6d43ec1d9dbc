// Owns one DNS lookup, in a process of its own: Node cannot cancel a lookup, and waits for it before it exits.
'use strict'

const { lookup } = require('node:dns')

lookup(process.argv[2], { all: true }, (error, addresses) => {
  process.stdout.write(JSON.stringify(error ? { code: error.code } : { addresses }))
})
