// Owns the promises of the package itself: its size, its lack of dependencies, and the names it exports.
'use strict'

const { execFileSync } = require('node:child_process')
const { readFileSync, readdirSync, statSync } = require('node:fs')
const path = require('node:path')
const xkit = require('..')
const manifest = require('../package.json')

const ROOT = path.join(__dirname, '..')
const TYPINGS = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')

test('the addon takes at most 3.5 MB', () => {
  const addons = readdirSync(ROOT).filter(name => name.endsWith('.node'))
  expect(addons).not.toHaveLength(0)
  for (const addon of addons) expect(statSync(path.join(ROOT, addon)).size).toBeLessThanOrEqual(3_500_000)
})

test('nothing but the package itself is installed with it', () => {
  expect(manifest.dependencies).toBeUndefined()
  expect(manifest.scripts).not.toHaveProperty('install')
  expect(manifest.scripts).not.toHaveProperty('postinstall')
})

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

test('every platform package carries the version and the target of the package', () => {
  const platforms = readdirSync(path.join(ROOT, 'npm'))
  expect(platforms).toHaveLength(manifest.napi.targets.length)
  for (const platform of platforms) {
    const { name, version, main, files, os, cpu } = require(`../npm/${platform}/package.json`)
    expect({ name, version }).toEqual({ name: `xkit-node-${platform}`, version: manifest.version })
    expect({ main, files }).toEqual({
      main: `xkit-node.${platform}.node`,
      files: [`xkit-node.${platform}.node`],
    })
    expect(platform.startsWith(`${os}-${cpu}`)).toBe(true)
  }
})
