// Owns the completion of package-lock.json: optional packages that the registry at hand did not have (of other platforms,
// or our own before their release) are left out by npm, and `npm ci` then refuses the lockfile. Run after `npm install`.
//   node scripts/complete-lockfile.js [folder]   the folder of the lockfile, if it is not the package's own
'use strict'

const { readFileSync, writeFileSync } = require('node:fs')
const path = require('node:path')

const FILE = path.resolve(process.argv[2] ?? path.join(__dirname, '..'), 'package-lock.json')
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64', 'wasm32']

/** What a platform package is for, by its name: enough for npm to pass it over on another platform. */
function platform(name) {
  const parts = name.split('-')
  const os = SYSTEMS.find(system => parts.includes(system))
  const cpu = PROCESSORS.find(processor => parts.includes(processor))
  if (cpu === undefined) throw new Error(`cannot tell which platform ${name} is for`)
  const libc = os === 'linux' && { gnu: 'glibc', musl: 'musl' }[parts.at(-1)]
  return { cpu: [cpu], optional: true, ...(os && { os: [os] }), ...(libc && { libc: [libc] }) }
}

const lock = JSON.parse(readFileSync(FILE, 'utf8'))
for (const [parent, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`
    if (key in lock.packages || !/^\d/.test(version)) continue
    // All but our own are there for the sake of a tool.
    lock.packages[key] = { version, ...(parent !== '' && { dev: true }), ...platform(name) }
  }
}
const [root, ...others] = Object.entries(lock.packages)
lock.packages = Object.fromEntries([root, ...others.sort(([a], [b]) => (a < b ? -1 : 1))])
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`)
