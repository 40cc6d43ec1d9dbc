// Owns the imports of the JavaScript that is published: which of its files requires which other.
'use strict'

const { existsSync, readFileSync, readdirSync, statSync } = require('node:fs')
const path = require('node:path')

/** Literal calls, by which all of this code imports. */
const REQUIRE = /\brequire\('(\.{1,2}\/[^']+)'\)/g
const COMMENT = /^\s*(?:\/\/|\*|\/\*).*$/gm

function filesIn(root, name) {
  const file = path.join(root, name)
  if (statSync(file).isFile()) return [name]
  return readdirSync(file, { recursive: true })
    .filter(below => below.endsWith('.js'))
    .map(below => path.posix.join(name, below.replaceAll(path.sep, '/')))
}

/** `lib/client` for `lib/client.js`, and `lib/rejection` for `lib/rejection/index.js`. */
const moduleOf = file => file.replace(/(?:\/index)?\.js$/, '')

/** The modules of `folders` below `root`, each with those that it requires. What is no JavaScript, as the addon, is none. */
function packageModules(root, folders) {
  const files = folders.flatMap(name => filesIn(root, name))
  const known = new Set(files)
  const graph = new Map()
  for (const file of files) {
    const code = readFileSync(path.join(root, file), 'utf8').replace(COMMENT, '')
    const imports = new Set()
    for (const [, to] of code.matchAll(REQUIRE)) {
      const wanted = path.posix.join(path.posix.dirname(file), to)
      const found = [wanted, `${wanted}.js`, `${wanted}/index.js`].find(name => known.has(name))
      if (found !== undefined) imports.add(moduleOf(found))
      else if (!existsSync(path.join(root, wanted)) && !wanted.endsWith('.node')) {
        throw new Error(`${file} requires ${to}, which is not there`)
      }
    }
    graph.set(moduleOf(file), imports)
  }
  return { graph, tests: new Set() }
}

module.exports = { packageModules }
