// Owns the last line of a run of jest: the tests that were left out for want of a tool (tools.js), and how to have them run.
'use strict'

const { countMissing, installCommand } = require('./tools.js')

function lineFor(results) {
  const skipped = results.testResults.flatMap(({ testResults }) =>
    testResults.filter(({ status }) => status === 'pending').map(({ fullName }) => fullName),
  )
  const counts = countMissing(skipped)
  if (counts.size === 0) return undefined
  const parts = Array.from(counts, ([tool, count]) => `${count} need ${tool}`).join(', ')
  const remedy = process.platform === 'win32' ? '' : `: ${installCommand([...counts.keys()])}`
  return `\nNot run, since this machine lacks a tool: ${parts}. To run them, install it and repeat this command${remedy}\n`
}

module.exports = class LeftOutReporter {
  onRunComplete(_contexts, results) {
    const line = lineFor(results)
    // Jest writes its summary after every reporter has run.
    if (line !== undefined) process.once('exit', () => process.stderr.write(line))
  }
}
