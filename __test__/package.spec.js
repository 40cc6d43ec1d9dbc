// Owns the names that the package exports.
'use strict'

const { execFileSync } = require('node:child_process')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const xkit = require('..')

const ROOT = path.join(__dirname, '..')
const TYPINGS = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')

test('the typings declare the values that the module exports, and no others', () => {
  const declared = Array.from(TYPINGS.matchAll(/^export (?:class|function) (\w+)/gm), ([, name]) => name)
  expect(Object.keys(xkit).sort()).toEqual([...new Set(declared)].sort())
})

test('every name can be imported by an ES module', () => {
  const names = Object.keys(xkit)
  const script = `import { ${names.join(', ')} } from 'xkit-node'; console.log([${names.join(', ')}].length)`
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT })
  expect(Number(output)).toBe(names.length)
})
