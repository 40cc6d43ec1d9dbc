// A name server for child processes: names that lead where a test says, move, fail, or get no answer. It is a library that is
// preloaded in front of the system's resolver, compiled here.
'use strict'

const { spawnSync } = require('node:child_process')
const {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { eventually, track } = require('./rigs')

const SOURCE = path.join(__dirname, 'names.c')

/**
 * `set({ name: address })` says where names lead, from now on; `env` is what a child process needs. The address `-` is a
 * failure, `?` no answer until another address is set, and `a,b` both. `set({ threads: '-' })` has the system refuse every
 * further thread. `lookups()` is what was asked for (`+ name`) and answered
 * (`- name`) so far, and each socket that was told to listen (`! listen`), `asked(name)` how often it was asked for; `reach(count)` resolves when that is so many lines in all.
 */
function startNames() {
  const directory = mkdtempSync(path.join(tmpdir(), 'xkit-names-'))
  const [library, names, log] = ['names.so', 'names', 'log'].map(name => path.join(directory, name))
  const compiled = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl'], {
    encoding: 'utf8',
  })
  if (compiled.status !== 0) throw new Error(`cc failed:\n${compiled.stderr}`)
  writeFileSync(names, '')
  const lookups = () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean) : [])
  const asked = name => lookups().filter(line => line === `+ ${name}`).length
  return track({
    env: { LD_PRELOAD: library, TEST_NAMES: names, TEST_LOOKUPS: log },
    set(addresses) {
      // Whole or not at all: somebody may be reading.
      const next = `${names}.next`
      writeFileSync(next, readFileSync(names))
      appendFileSync(
        next,
        Object.entries(addresses)
          .map(([name, address]) => `${name} ${address}\n`)
          .join(''),
      )
      renameSync(next, names)
    },
    lookups,
    asked,
    reach: count => eventually(() => lookups().length >= count),
    close: async () => rmSync(directory, { recursive: true, force: true }),
  })
}

module.exports = { startNames }
