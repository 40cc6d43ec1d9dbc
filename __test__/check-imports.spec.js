// Owns the proof that the check of imports sees what it must: paths of Rust in all their forms, and the three rules.
'use strict'

const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { crateModules } = require('../scripts/imports/crate.js')
const { packageModules } = require('../scripts/imports/package.js')
const { circles, parentImports, upwardImports } = require('../scripts/imports/rules.js')

let folder
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-imports-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    writeFileSync(path.join(folder, name), text)
  }
}

function importsOf(files) {
  write(files)
  const { graph } = crateModules(folder)
  return Object.fromEntries(Array.from(graph, ([name, imports]) => [name, [...imports].sort()]))
}

describe('an import of Rust is found', () => {
  const CRATE = { 'lib.rs': 'mod a; mod b;', 'b/mod.rs': 'pub mod c; pub mod d;', 'b/c.rs': '', 'b/d.rs': '' }

  test.each([
    ['by the name of the crate', 'use crate::b::c::Thing;', ['b::c']],
    ['of an item that a folder exports', 'use crate::b::Thing;', ['b']],
    ['in braces within braces', 'use crate::{b::{c::{self, One}, d::Two as Three}};', ['b::c', 'b::d']],
    ['relative to the parent', 'use super::b::c;', ['b::c']],
    ['in an expression', 'fn f() { crate::b::d::call(); }', ['b::d']],
    ['in a test within the file', '#[cfg(test)] mod tests { use crate::b::c; }', []],
    ['but not in a comment', '// use crate::b::c;\n/* crate::b::c */', []],
    ['nor in a text', 'const A: &str = "crate::b::c"; const B: &str = r#"use crate::b::d;"#;', []],
    ['nor of another crate', 'use std::fmt; use b_client::c;', []],
    ['after a lifetime and a character', "fn f<'a>(_: &'a str) -> char { crate::b::c::f(); '\"' }", ['b::c']],
  ])('%s', (_how, code, expected) => {
    expect(importsOf({ ...CRATE, 'a.rs': code }).a).toEqual(expected)
  })

  test('and one of a test is told apart from those of its file', () => {
    const code = 'mod tests { use super::*; use super::super::b::c; }'
    expect(importsOf({ ...CRATE, 'a.rs': code })).toMatchObject({ a: [], 'a::tests': ['a', 'b::c'] })
  })

  test('and a module is known as a test by its declaration', () => {
    write({ 'lib.rs': 'mod a;', 'a.rs': '#[cfg(test)]\nmod threads;', 'a/threads.rs': 'use super::f;' })
    const { graph, tests } = crateModules(folder)
    expect([...tests]).toEqual(['a::threads'])
    expect(parentImports(graph, '::', tests)).toEqual([])
    expect(parentImports(graph, '::', new Set())).toEqual([['a::threads', 'a']])
  })
})

test('a require of a folder, with and without an ending, is found', () => {
  write({
    'index.js': "const a = require('./lib/a.js')",
    'lib/a.js': "const b = require('./b')\n// require('./c.js')",
    'lib/b/index.js': "require('../c.js'); require('node:fs')",
    'lib/c.js': '',
  })
  const { graph } = packageModules(folder, ['index.js', 'lib'])
  expect(Array.from(graph, ([name, imports]) => [name, ...imports]).sort()).toEqual([
    ['index', 'lib/a'],
    ['lib/a', 'lib/b'],
    ['lib/b', 'lib/c'],
    ['lib/c'],
  ])
})

describe('the rules', () => {
  const graphOf = edges => {
    const graph = new Map()
    for (const [from, to] of edges) {
      for (const name of [from, to]) if (!graph.has(name)) graph.set(name, new Set())
      graph.get(from).add(to)
    }
    return graph
  }

  test('find each circle once, whatever leads into it', () => {
    const graph = graphOf([
      ['x', 'a'],
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
      ['c', 'd'],
    ])
    expect(circles(graph)).toEqual([['a', 'b', 'c']])
    expect(
      circles(
        graphOf([
          ['a', 'b'],
          ['b', 'c'],
          ['a', 'c'],
        ]),
      ),
    ).toEqual([])
  })

  test('find what runs upward or sideways, and let leaves import each other', () => {
    const layers = [['leaf', 'stone'], ['http', 'tokens'], ['client']]
    const graph = graphOf([
      ['client', 'http::pool'],
      ['http::pool', 'http::gate'],
      ['http::pool', 'leaf'],
      ['leaf', 'stone'],
      ['http', 'tokens::key'],
      ['leaf', 'client'],
    ])
    expect(upwardImports(graph, '::', layers).sort()).toEqual([
      ['http', 'tokens::key'],
      ['leaf', 'client'],
    ])
  })
})
