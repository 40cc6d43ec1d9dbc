// Owns the imports of the crate: which modules there are below src/, and which of them each one names by a path.
'use strict'

const { readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')

const TEST_MODULE = /#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)/g

/** Text without comments, and with empty strings and characters, so that only code is left; lines stay. */
function withoutText(source) {
  const pattern =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|(?<!\w)b?r(#*)"[\s\S]*?"\1|(?<!\w)b?"(?:\\[\s\S]|[^"\\])*"|b?'(?:\\[^\n]{1,10}?|[^'\\\n])'/g
  return source.replace(pattern, text => text.replace(/[^\n]/g, ' '))
}

/** `core::http::pool` for `core/http/pool.rs`, and `core::http` for `core/http/mod.rs`. */
function moduleOf(file) {
  const parts = file.replace(/\.rs$/, '').split('/')
  return (parts.at(-1) === 'mod' ? parts.slice(0, -1) : parts).join('::')
}

/** The `{ name, from, to }` of the modules that are written inside of a file, where their braces stand. */
function innerModules(code) {
  return Array.from(code.matchAll(/\bmod\s+(\w+)\s*\{/g), match => {
    const from = match.index + match[0].length
    let depth = 1
    let to = from
    for (; depth > 0 && to < code.length; to++) depth += { '{': 1, '}': -1 }[code[to]] ?? 0
    return { name: match[1], from, to }
  })
}

/** The paths of a `use` tree, its braces taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`. */
function expand(tree) {
  const open = tree.indexOf('{')
  if (open === -1) return [tree.split(/\s+as\s+/)[0].replaceAll(/\s/g, '')]
  const prefix = tree.slice(0, open)
  const parts = []
  let depth = 0
  let start = open + 1
  for (let at = open + 1; at < tree.length; at++) {
    if (tree[at] === '{') depth++
    if (depth === 0 && (tree[at] === ',' || tree[at] === '}')) {
      parts.push(tree.slice(start, at))
      start = at + 1
    }
    if (tree[at] === '}') depth--
  }
  return parts.filter(part => part.trim() !== '').flatMap(part => expand((prefix + part).trim()))
}

/** Every path in the code that begins with a keyword or with a module that the file declares, and where it stands. */
function pathsIn(code, declared) {
  const paths = []
  const uses = /\buse\s+([^;]+);/g
  for (const { index, 1: tree } of code.matchAll(uses)) {
    for (const text of expand(tree)) paths.push({ text, index })
  }
  const rest = code.replace(uses, text => text.replace(/[^\n]/g, ' '))
  const names = ['crate', 'super', 'self', ...declared].join('|')
  const expressions = new RegExp(`(?<![\\w:])(?:${names})(?:::\\w+)+`, 'g')
  for (const { 0: text, index } of rest.matchAll(expressions)) paths.push({ text, index })
  return paths
}

/** The absolute path of one that stands in `module`; undefined for that of another crate or of a name in scope. */
function resolve(text, module, declared) {
  const [first, ...rest] = text.split('::')
  if (first === 'crate') return rest
  if (first === 'self') return [...module, ...rest]
  if (first === 'super') {
    let up = module.slice(0, -1)
    while (rest[0] === 'super') {
      rest.shift()
      up = up.slice(0, -1)
    }
    return [...up, ...rest]
  }
  return declared.includes(first) ? [...module, first, ...rest] : undefined
}

/** The module of the crate that a path leads to or through. */
function target(segments, names) {
  for (let length = segments.length; length > 0; length--) {
    const name = segments.slice(0, length).join('::')
    if (names.has(name)) return name
  }
  return segments.length === 0 ? undefined : 'crate'
}

/**
 * `graph` has the modules of the crate in `folder`, by name, each with the names of those that it imports. Modules inside of
 * a file count as that file, but for tests, which have a name of their own. `tests` are the names of test modules.
 */
function crateModules(folder) {
  const files = readdirSync(folder, { recursive: true })
    .map(file => file.replaceAll(path.sep, '/'))
    .filter(file => file.endsWith('.rs'))
  const sources = new Map(
    files.map(file => [moduleOf(file), withoutText(readFileSync(path.join(folder, file), 'utf8'))]),
  )
  const names = new Set(sources.keys())
  const tests = new Set()
  for (const [name, code] of sources) {
    if (innerModules(code).some(inner => inner.name === 'tests')) names.add(`${name}::tests`)
    for (const [, child] of code.matchAll(TEST_MODULE)) tests.add(`${name}::${child}`)
  }
  const graph = new Map(Array.from(names, name => [name, new Set()]))
  for (const [name, code] of sources) addImports(graph, name, code, names)
  return { graph, tests }
}

function addImports(graph, name, code, names) {
  const inner = innerModules(code)
  const base = name === 'lib' ? [] : name.split('::')
  const declared = Array.from(code.matchAll(/\bmod\s+(\w+)\s*;/g), ([, child]) => child)
  for (const { text, index } of pathsIn(code, declared)) {
    const around = inner.filter(({ from, to }) => from <= index && index < to).map(({ name }) => name)
    const segments = resolve(text, [...base, ...around], declared)
    if (segments === undefined) continue
    const from = around[0] === 'tests' ? `${name}::tests` : name
    const to = target(segments, names)
    if (to !== undefined && to !== from) graph.get(from).add(to)
  }
}

module.exports = { crateModules }
