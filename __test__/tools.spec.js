// Owns the proof that a machine without a tool leaves out the tests that need it, says so, and that CI does not.
'use strict'

const { spawnSync } = require('node:child_process')
const { readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const JEST = path.join(path.dirname(require.resolve('jest/package.json')), 'bin', 'jest.js')

/** Runs a file that needs a Redis throughout, where nothing is in PATH. */
function runWithoutTools(env) {
  const args = [JEST, '--runInBand', path.join(__dirname, 'fleet-nodes.spec.js')]
  const bare = { ...process.env, CI: '', PATH: path.join(ROOT, 'no-such-folder'), ...env }
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', env: bare })
  return { status, stderr, lines: stderr.trim().split('\n') }
}

const onUnix = process.platform === 'win32' ? test.skip : test

onUnix('the last line says what was not run, and how to have it run', () => {
  const { status, lines } = runWithoutTools({})
  expect(status).toBe(0)
  expect(lines.at(-1)).toMatch(
    /^Not run, since this machine lacks a tool: \d+ need redis-server\. To run them, install it and repeat this command: (apt-get|brew) install redis/,
  )
})

onUnix('where CI is set, a missing tool is a failure that says what to install', () => {
  const { status, stderr } = runWithoutTools({ CI: 'true' })
  expect(status).toBe(1)
  expect(stderr).toContain('CI runs every test, and redis-server is missing')
})

test('each file that starts a Redis or an nginx asks for it by testsWith', () => {
  const forgotten = readdirSync(__dirname)
    .filter(name => name.endsWith('.spec.js'))
    .filter(name => {
      const code = readFileSync(path.join(__dirname, name), 'utf8')
      return /\b(?:startRedis|useFleet|startNginx)\(/.test(code) && !/testsWith\('/.test(code)
    })
  expect(forgotten).toEqual([])
})
