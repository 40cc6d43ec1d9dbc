// Owns `npm run test:consumers`: each project beside this file, as a user would have it, with the packed package.
'use strict'

const { readdirSync } = require('node:fs')
const path = require('node:path')
const { installCopy, installTarballs, pack, report, run } = require('../support/packed.js')

const LIMIT_MS = 120_000
const PASSED = /\b[1-9]\d* passed\b|\bpass [1-9]/
/** What runners say where something was left open, also with an exit code of 0. */
const LEFT_OPEN = /open handle|did not exit|close timed out/i

function complaint(output) {
  if (LEFT_OPEN.test(output)) return 'left something open'
  return PASSED.test(output) ? undefined : 'ran no test'
}

async function main() {
  const tarballs = pack()
  const projects = readdirSync(__dirname, { withFileTypes: true }).filter(entry => entry.isDirectory())
  for (const { name } of projects) {
    const cwd = await installCopy(path.join(__dirname, name))
    await installTarballs(cwd, tarballs)
    const { problem, output } = await run('npm', ['test'], { cwd, limitMs: LIMIT_MS })
    report(name, problem ?? complaint(output), output)
  }
}

main()
