// Owns the completion of package-lock.json: optional packages of other platforms that the registry at hand did not have
// are left out by npm, and `npm ci` then refuses the lockfile everywhere. Run after `npm install`.
'use strict'

const { readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')

const FILE = path.join(__dirname, '..', 'package-lock.json')
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64', 'wasm32']

/** What a platform package is for, by its name: enough for npm to pass it over on another platform. */
function platform(name) {
  const parts = name.split('-')
  const os = SYSTEMS.find(system => parts.includes(system))
  const cpu = PROCESSORS.find(processor => parts.includes(processor))
  if (cpu === undefined) throw new Error(`cannot tell which platform ${name} is for`)
  return { cpu: [cpu], dev: true, optional: true, ...(os && { os: [os] }) }
}

const lock = JSON.parse(readFileSync(FILE, 'utf8'))
for (const { optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`
    if (!(key in lock.packages) && /^\d/.test(version)) lock.packages[key] = { version, ...platform(name) }
  }
}
const [root, ...others] = Object.entries(lock.packages)
lock.packages = Object.fromEntries([root, ...others.sort(([a], [b]) => (a < b ? -1 : 1))])
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`)
