// Owns the facade as it is packed: one file, with the addon beside it.
'use strict'

const { execFileSync, spawnSync } = require('node:child_process')
const { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { ADDON, stagePackage } = require('./support/staged.js')

const ROOT = path.join(__dirname, '..')

let staged
beforeEach(() => {
  staged = stagePackage()
})
afterEach(() => rmSync(staged, { recursive: true, force: true }))

test('a first client loads one file and the addon, since each file costs time', () => {
  const script = `const { XkitClient } = require(${JSON.stringify(staged)})
    new XkitClient({ publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0' })
    console.log(Object.keys(require.cache).join('\\n'))`

  const loaded = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim().split('\n')

  expect(loaded.map(file => path.relative(staged, file))).toEqual([path.join('lib', 'bundle.js'), ADDON])
})

test('the packed file is the same from whatever folder it is packed, and names no folder of the machine', () => {
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'xkit-node-elsewhere-'))
  try {
    const script = `require(${JSON.stringify(path.join(ROOT, 'scripts/pack.js'))}).stageMain(${JSON.stringify(elsewhere)})`
    execFileSync(process.execPath, ['-e', script], { cwd: elsewhere })
    const read = folder => readFileSync(path.join(folder, 'lib', 'bundle.js'), 'utf8')
    expect(read(elsewhere)).toBe(read(staged))
    expect(read(staged)).not.toContain('../lib/')
  } finally {
    rmSync(elsewhere, { recursive: true })
  }
})

test('all modules of the packed file share one scope: V8 would read the functions of a wrapped one twice', () => {
  const code = readFileSync(path.join(staged, 'lib', 'bundle.js'), 'utf8')
  expect(code).toContain('\n// lib/rejection/words.js\n')
  expect(code).not.toMatch(/__commonJS|__esm|__toESM|__export/)
})

/** The package as git and a folder bring it: each module is a file of its own. */
function unpack() {
  for (const name of ['index.js', 'lib', 'package.json']) {
    cpSync(path.join(ROOT, name), path.join(staged, name), { recursive: true })
  }
}

/** Runs a module that imports `names` from the package as it is packed; what it prints. */
function runModule(code, env = {}) {
  const file = path.join(staged, `user-${++modules}.mjs`)
  writeFileSync(file, code)
  return spawnSync(process.execPath, [file], { encoding: 'utf8', env: { ...process.env, ...env } })
}
let modules = 0

test('every name can be imported, and no other', () => {
  const { stdout, stderr } = runModule(`
    import * as xkit from './lib/bundle.js'
    console.log(JSON.stringify(Object.keys(xkit)))`)
  expect(stderr).toBe('')
  const names = Object.keys(require('..'))
  // Node 22.13 and newer add a name of their own.
  const found = JSON.parse(stdout).filter(name => !['default', 'module.exports'].includes(name))
  expect(found.sort()).toEqual(names.sort())
})

test('an uncaught error shows the line that threw it, and not the whole file', () => {
  const { stderr, status } = runModule(`
    import { XkitClient } from './lib/bundle.js'
    new XkitClient({ publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0', timeoutMs: 'soon' })`)
  expect(status).toBe(1)
  expect(stderr).toContain('ERR_INVALID_ARG_TYPE')
  expect(stderr.length).toBeLessThan(4000)
  for (const line of stderr.split('\n')) expect(line.length).toBeLessThan(300)
})

describe.each([
  ['packed', () => {}],
  ['from git or a folder', unpack],
])('every answer and every error of a package %s is as before', (_how, prepare) => {
  beforeEach(() => prepare())

  /** What a client and its errors need, one after the other, once `before` has happened to the loaded package. */
  const script = before => `
    const fs = require('node:fs')
    const http = require('node:http')
    const { XkitClient, isXkitError } = require(${JSON.stringify(staged)})
    const body = JSON.stringify({ connection: { enabled: true }, authorization: { status: 'active', access_token: 'token' } })
    const server = http.createServer((request, response) => {
      response.writeHead(request.url.includes('/broken/') ? 403 : 200).end(body)
    })
    const codeOf = error => (isXkitError(error) ? error.code : error.code ?? error.name)
    const outcome = call => call.then(value => value, codeOf)
    const event = { event_type: 'connection.enabled', payload: { connector: { slug: 'slack' }, context: { external_id: 'u1' } } }
    async function main() {
      const baseUrl = 'http://127.0.0.1:' + server.address().port
      const keys = { publishableKey: 'pk_packed', secretKey: 'sk_packed_71f0' }
      const client = new XkitClient({ ...keys, baseUrl, cache: true, catalogUrl: 'https://catalog.example' })
      await client.getAccessToken('first', 'slack')
      ${before}
      const controller = new AbortController()
      const aborted = outcome(client.getAccessToken('aborted', 'slack', { signal: controller.signal }))
      controller.abort()
      console.log(JSON.stringify({
        cached: await outcome(client.getAccessToken({ user: 'first' }, 'slack')),
        connection: (await client.getConnection('first', 'slack')).status,
        refused: await outcome(client.getAccessToken('broken', 'slack')),
        argument: await outcome(client.getAccessToken('', 'slack')),
        aborted: await aborted,
        used: await outcome(client.withAccessToken('first', 'slack', async token => token)),
        repaired: await outcome(client.withAccessToken('first', 'slack', () => Promise.reject({ status: 401 }))),
        webhook: client.handleWebhook(event).slug,
        badWebhook: await outcome(Promise.resolve().then(() => client.handleWebhook('{'))),
        fetched: await outcome(client.fetch('first', 'slack', 'ftp://127.0.0.1/')),
        option: await outcome(Promise.resolve().then(() => new XkitClient({ ...keys, timeoutMs: 'soon' }))),
        closed: await outcome(client.close().then(() => client.getAccessToken('u1', 'slack'))),
      }))
      process.exit()
    }
    server.listen(0, '127.0.0.1', main)`

  function outcomes(before) {
    const file = path.join(staged, 'outcomes.js')
    writeFileSync(file, script(before))
    const [command, args] =
      process.platform === 'win32'
        ? [process.execPath, [file]]
        : ['sh', ['-c', 'ulimit -n 256; exec "$0" "$1"', process.execPath, file]]
    const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
    expect(stderr).toBe('')
    return JSON.parse(stdout)
  }

  const onPosix = process.platform === 'win32' ? test.skip : test
  onPosix.each([
    ['without a descriptor', 'try { for (;;) fs.openSync(process.execPath) } catch {}'],
    ['after node_modules was removed', 'fs.rmSync(__dirname, { recursive: true })'],
    [
      'where fs is mocked',
      'for (const name of Object.keys(fs)) if (typeof fs[name] === "function") fs[name] = () => { throw new Error(name) }',
    ],
  ])('%s', (_what, before) => {
    const expected = outcomes('')
    expect(expected).toMatchObject({ cached: 'token', connection: 'active', used: 'token', webhook: 'slack' })
    expect(outcomes(before)).toEqual(expected)
  })
})
