// Owns the proof of the command xkit-emulator: what it prints, what it serves, and how it ends.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')

const COMMAND = path.join(__dirname, '..', 'bin', 'xkit-emulator.js')
const READY = 'Press Ctrl+C to stop.\n'
const ONE_LINE = /^xkit-emulator: [^\n]+\n$/

let folder
const children = []

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-emulator-'))
})

afterAll(() => rmSync(folder, { recursive: true }))

afterEach(async () => {
  for (const { child, ended } of children.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
})

function seedFile(name, text) {
  const file = path.join(folder, name)
  writeFileSync(file, text)
  return file
}

function run(...args) {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const result = { stdout: '', stderr: '' }
  let ready
  const started = new Promise(resolve => {
    ready = resolve
  })
  child.stdout.setEncoding('utf8').on('data', text => {
    result.stdout += text
    if (result.stdout.endsWith(READY)) ready()
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    result.stderr += text
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ ...result, code, signal }))
  children.push({ child, ended })
  return { child, started: Promise.race([started, ended]), ended, result }
}

/** The environment variables that the running command printed. */
async function startCommand(...args) {
  const running = run('--port', '0', ...args)
  await running.started
  const environment = Object.fromEntries(
    Array.from(running.result.stdout.matchAll(/^(XKIT_\w+)=(.*)$/gm), ([, name, value]) => [name, value]),
  )
  return { ...running, environment }
}

async function ask(environment, route, publishableKey, secretKey) {
  const authorization = `Basic ${Buffer.from(`${publishableKey}:${secretKey}`).toString('base64')}`
  // A connection of its own: a pooled one would not tell whether the command ends it.
  const headers = { authorization, connection: 'close' }
  const response = await fetch(environment.XKIT_BASE_URL + route, { headers })
  return { status: response.status, json: await response.json() }
}

test('prints what to set, and serves its seed under it', async () => {
  const seed = { users: { u1: { slack: { accessToken: 'xoxb' } } }, groups: { acme: {} }, contexts: {} }
  const { environment, result } = await startCommand('--seed', seedFile('seed.json', JSON.stringify(seed)))
  expect(environment).toEqual({
    XKIT_BASE_URL: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/api\/platform$/),
    XKIT_CATALOG_URL: environment.XKIT_BASE_URL.replace('/api/platform', ''),
    XKIT_PUBLISHABLE_KEY: 'pk_emulator',
    XKIT_SECRET_KEY: 'sk_emulator',
  })
  expect(result.stderr).toBe('')
  const { XKIT_PUBLISHABLE_KEY: publishableKey, XKIT_SECRET_KEY: secretKey } = environment
  const answer = await ask(environment, '/connections/u1/slack', publishableKey, secretKey)
  expect(answer.json.authorization.access_token).toBe('xoxb')
  const group = await ask(environment, '/groups/acme/connections/slack', publishableKey, secretKey)
  expect(group.json.connection.enabled).toBe(false)
  const page = await fetch(environment.XKIT_CATALOG_URL, { headers: { connection: 'close' } })
  expect(await page.text()).toMatch(/u1/)
})

test('keys given by flag are the ones that count, and are not printed', async () => {
  const { environment, result } = await startCommand(
    '--publishable-key',
    'pk_mine',
    '--secret-key',
    'sk_mine',
  )
  expect(environment).toMatchObject({ XKIT_PUBLISHABLE_KEY: '********', XKIT_SECRET_KEY: '********' })
  expect(result.stdout).not.toMatch(/pk_mine|sk_mine/)
  expect((await ask(environment, '/connections/u1/slack', 'pk_mine', 'sk_mine')).status).toBe(404)
  expect((await ask(environment, '/connections/u1/slack', 'pk_emulator', 'sk_emulator')).status).toBe(401)
})

test('a seed may begin with a byte order mark', async () => {
  const { environment } = await startCommand(
    '--seed',
    seedFile('bom.json', '\uFEFF{ "users": { "u1": {} } }'),
  )
  expect((await ask(environment, '/connections/u1/slack', 'pk_emulator', 'sk_emulator')).status).toBe(200)
})

// Elsewhere a signal sent by another process ends a process without asking it.
const withSignals = process.platform === 'win32' ? test.skip : test
withSignals.each(['SIGINT', 'SIGTERM'])(
  '%s ends it with code 0, also with a connection open',
  async signal => {
    const { child, ended, environment } = await startCommand()
    const { port } = new URL(environment.XKIT_BASE_URL)
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    const left = new Promise(resolve => {
      socket.on('close', resolve)
    })
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'data')
    child.kill(signal)
    expect(await ended).toMatchObject({ code: 0, signal: null, stderr: '' })
    await left
  },
)

test('serves its catalog in another layout, and quotes what a shell or a file of variables would cut', async () => {
  const plain = await startCommand('--catalog-path', '/integrations/{slug}')
  const origin = new URL(plain.environment.XKIT_BASE_URL).origin
  expect(plain.environment.XKIT_CATALOG_URL).toBe(`${origin}/integrations/{slug}`)
  const headers = { connection: 'close' }
  expect((await fetch(`${origin}/integrations/slack`, { headers })).status).toBe(200)

  const { environment } = await startCommand('--catalog-path', '/settings#/connectors/{slug}')
  expect(environment.XKIT_CATALOG_URL).toMatch(/^'http:.*\/settings#\/connectors\/{slug}'$/)
})

const WARNING = /^xkit-emulator: warning: anyone who reaches this port gets tokens[^\n]*\n$/

test.each(['0.0.0.0', '::'])('--host %s listens everywhere, and warns of it on stderr', async host => {
  const { environment, result, ended } = await startCommand('--host', host)
  // A system without IPv6 has no such address.
  if (host === '::' && environment.XKIT_BASE_URL === undefined) {
    expect((await ended).stderr).toMatch(/none of this machine/)
    return
  }
  const { hostname, port } = new URL(environment.XKIT_BASE_URL)
  expect(hostname).toBe(host === '::' ? '[::1]' : '127.0.0.1')
  expect(result.stderr).toMatch(WARNING)
  // One that the default does not listen on.
  const elsewhere = { XKIT_BASE_URL: `http://127.0.0.2:${port}/api/platform` }
  const asked = process.platform === 'darwin' ? environment : elsewhere
  expect((await ask(asked, '/connections/u1/slack', 'pk_emulator', 'sk_emulator')).status).toBe(404)
})

test.each([[[]], [['--host', '127.0.0.1']], [['--host', 'localhost']]])(
  'with %p it is reached by this machine alone, without a warning',
  async args => {
    const { environment, result } = await startCommand(...args)
    expect(result.stderr).toBe('')
    const { port } = new URL(environment.XKIT_BASE_URL)
    expect((await ask(environment, '/connections/u1/slack', 'pk_emulator', 'sk_emulator')).status).toBe(404)
    const socket = net.connect(port, '127.0.0.2')
    const [error] = await once(socket, 'error')
    expect(['ECONNREFUSED', 'EADDRNOTAVAIL', 'ETIMEDOUT']).toContain(error.code)
  },
)

test('a host that is none of this machine is one line on stderr and code 1', async () => {
  // Of a block that is for documentation alone.
  const { stdout, stderr, code } = await run('--port', '0', '--host', '192.0.2.1').ended
  expect(stderr).toMatch(ONE_LINE)
  expect(stderr).toMatch(/--host is none of this machine \(EADDRNOTAVAIL\)/)
  expect([stdout, code]).toEqual(['', 1])
})

test('--help says how to use it', async () => {
  const { ended } = run('--help')
  const { stdout, stderr, code } = await ended
  expect(stdout).toMatch(/^Usage: xkit-emulator/)
  for (const flag of ['--port', '--host', '--seed', '--publishable-key', '--secret-key', '--catalog-path'])
    expect(stdout).toContain(flag)
  expect([stderr, code]).toEqual(['', 0])
})

test.each([
  [['--prot', '1'], /--prot/],
  [['--port'], /--port/],
  [['--port', 'abc'], /--port/],
  [['--port', '65536'], /--port/],
  [['--port', ''], /--port/],
  [['--port', '-1'], /--port/],
  [['--host', ''], /--host/],
  [['--host', 'http://0.0.0.0'], /--host/],
  [['--secret-key', ''], /--secret-key/],
  [['--publishable-key', 'a:b'], /--publishable-key/],
  [['--catalog-path', '/integrations'], /--catalog-path must .*\{slug\}/],
  [['sk_stray'], /no arguments/],
])('the wrong usage %p is one line on stderr and code 2', async (args, reason) => {
  const { stdout, stderr, code } = await run(...args).ended
  expect(stderr).toMatch(ONE_LINE)
  expect(stderr).toMatch(reason)
  expect(stderr).not.toMatch(/sk_stray/)
  expect([stdout, code]).toEqual(['', 2])
})

test.each([
  ['is no JSON', '{ "users": { "u1": { "slack": { "accessToken": "xoxb" ', /not valid JSON/],
  ['is no object', '[]', /must be an object of: users, groups, contexts/],
  ['has an unknown field', '{ "port": 1 }', /must be an object of: users, groups, contexts/],
  [
    'has a wrong state',
    '{ "users": { "u1": { "slack": { "status": "xoxb" } } } }',
    /: users\.<id>\.slack\.status must/,
  ],
])('a seed that %s is one line on stderr and code 1', async (_, text, reason) => {
  const { ended } = run('--port', '0', '--seed', seedFile('bad.json', text))
  const { stdout, stderr, code } = await ended
  expect(stderr).toMatch(ONE_LINE)
  expect(stderr).toMatch(reason)
  expect(stderr).not.toMatch(/xoxb/)
  expect([stdout, code]).toEqual(['', 1])
})

test('a seed that cannot be read is one line on stderr and code 1', async () => {
  const { ended } = run('--port', '0', '--seed', path.join(folder, 'missing.json'))
  const { stdout, stderr, code } = await ended
  expect(stderr).toBe('xkit-emulator: cannot read the seed file: ENOENT\n')
  expect([stdout, code]).toEqual(['', 1])
})

test('a port in use is one line on stderr and code 1', async () => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { ended } = run('--port', String(server.address().port))
    const { stdout, stderr, code } = await ended
    expect(stderr).toMatch(ONE_LINE)
    expect(stderr).toMatch(/is in use/)
    expect([stdout, code]).toEqual(['', 1])
  } finally {
    server.close()
  }
})
