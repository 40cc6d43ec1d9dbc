// Owns what tests need besides Node and Rust: where a tool is missing its tests are left out, and the reporter beside this
// file says so. Where CI is set, a missing tool is a failure.
'use strict'

const { spawnSync } = require('node:child_process')

/** The tools, and the packages that hold them where those have another name. */
const TOOLS = {
  'redis-server': { apk: 'redis', brew: 'redis' },
  nginx: {},
  openssl: {},
  cc: { apt: 'gcc libc6-dev', apk: 'gcc musl-dev', brew: 'gcc' },
}

const isFound = command => spawnSync(command, ['--version']).error === undefined

/** Windows has none of these; what is tested with them there is tested on the other systems. */
const hasTools = process.platform !== 'win32'
const isCI = !['', '0', 'false', undefined].includes(process.env.CI)

const mark = tool => `(needs ${tool})`

/** How this system installs them; on a Linux without apk, as Debian does. */
function installCommand(tools) {
  const manager = process.platform === 'darwin' ? 'brew' : isFound('apk') ? 'apk' : 'apt'
  const packages = tools.map(tool => TOOLS[tool][manager] ?? tool)
  const commands = { apk: 'apk add', apt: 'apt-get install', brew: 'brew install' }
  return `${commands[manager]} ${packages.join(' ')}`
}

/** `run` or `test`, skipped and with a title that the reporter recognises. */
function leftOut(run, tool) {
  const skip = (title, ...rest) => run.skip(`${title} ${mark(tool)}`, ...rest)
  skip.each =
    (...table) =>
    (title, ...rest) =>
      run.skip.each(...table)(`${title} ${mark(tool)}`, ...rest)
  return skip
}

/**
 * Jest's `describe` and `test` for what needs `tool`:
 *   const withRedis = testsWith('redis-server')
 *   withRedis.test('reads what another process has fetched', …)
 * A file that needs it throughout writes `const { describe, test } = testsWith('redis-server')`; hooks of skipped tests
 * do not run.
 */
function testsWith(tool) {
  if (isFound(tool)) return { describe, test }
  if (isCI && hasTools) {
    throw new Error(`CI runs every test, and ${tool} is missing: ${installCommand([tool])}`)
  }
  return { describe: leftOut(describe, tool), test: leftOut(test, tool) }
}

/** How many of the skipped tests with these full names need each tool. */
function countMissing(names) {
  const counts = new Map()
  for (const tool of Object.keys(TOOLS)) {
    const count = names.filter(name => name.includes(mark(tool))).length
    if (count > 0) counts.set(tool, count)
  }
  return counts
}

module.exports = { countMissing, installCommand, testsWith }
