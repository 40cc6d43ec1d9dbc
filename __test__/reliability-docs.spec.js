// Owns the proof of docs/reliability.md: every test that it names exists.
'use strict'

const { existsSync, readFileSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const read = file => readFileSync(path.join(ROOT, file), 'utf8')
const DOCS = read('docs/reliability.md')

/** The rows of the tables of promises: what is promised, and the cell that names the proof. */
const ROWS = DOCS.split(/^\| promise +\| proof +\|$/m)
  .slice(1)
  .flatMap(part => part.split(/\n\n/, 1)[0].split('\n').slice(2))
  .map(line => /^\| (.+?) +\| (.+?) +\|$/.exec(line).slice(1))

/** Each `file` "title" of a cell. */
function proofsOf(cell) {
  return Array.from(cell.matchAll(/`([\w./-]+\.(?:js|rs))` "([^"]+)"/g), ([, file, title]) => ({
    file,
    title,
  }))
}

const PROOFS = ROWS.flatMap(([, cell]) => proofsOf(cell))

/** Whether a test or a group of tests has this title; a number may stand before it. */
function isThere({ file, title }) {
  if (!existsSync(path.join(ROOT, file))) return false
  const source = read(file)
  if (file.endsWith('.rs')) return source.includes(`fn ${title}(`)
  const quoted = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`(?:['"\`]|\\} )${quoted}['"\`]`).test(source)
}

test('there are promises in every section', () => {
  expect(DOCS.match(/^## .+$/gm).length).toBeGreaterThan(7)
  expect(ROWS.length).toBeGreaterThan(35)
  expect(PROOFS.length).toBeGreaterThan(50)
})

test('every promise has a proof', () => {
  const isProven = cell => proofsOf(cell).length > 0 || /`npm run leak`/.test(cell)

  expect(ROWS.filter(([, cell]) => !isProven(cell))).toEqual([])
})

test('every test that is named exists', () => {
  expect(PROOFS.filter(proof => !isThere(proof))).toEqual([])
})

test('every command that is named exists', () => {
  const { scripts } = require('../package.json')
  const named = Array.from(DOCS.matchAll(/`npm run ([\w:]+)/g), ([, name]) => name)

  expect(named.length).toBeGreaterThan(2)
  expect(named.filter(name => !(name in scripts))).toEqual([])
})
