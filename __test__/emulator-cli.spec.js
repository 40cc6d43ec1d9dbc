// Owns the proof of the command xkit-emulator: what it prints, what it serves, and how it ends.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const http = require('node:http')
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
  const env = typeof args.at(-1) === 'object' ? { ...process.env, ...args.pop() } : process.env
  const child = spawn(process.execPath, [COMMAND, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
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

async function ask(
  environment,
  route,
  publishableKey = environment.XKIT_PUBLISHABLE_KEY,
  secretKey = environment.XKIT_SECRET_KEY,
) {
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
    XKIT_PUBLISHABLE_KEY: expect.stringMatching(/^pk_emulator_[\w-]{20,}$/),
    XKIT_SECRET_KEY: expect.stringMatching(/^sk_emulator_[\w-]{20,}$/),
  })
  expect(result.stderr).toBe('')
  const answer = await ask(environment, '/connections/u1/slack')
  expect(answer.json.authorization.access_token).toBe('xoxb')
  const group = await ask(environment, '/groups/acme/connections/slack')
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
  expect((await ask(environment, '/connections/u1/slack', 'pk_mine', 'sk_other')).status).toBe(401)
})

test('keys given by the environment count, and are not printed; those of a client do not', async () => {
  const { environment, result } = await startCommand({
    XKIT_EMULATOR_PUBLISHABLE_KEY: 'pk_mine',
    XKIT_EMULATOR_SECRET_KEY: 'sk_mine',
    XKIT_SECRET_KEY: 'sk_real',
  })
  expect(environment).toMatchObject({ XKIT_PUBLISHABLE_KEY: '********', XKIT_SECRET_KEY: '********' })
  expect(result.stdout).not.toMatch(/pk_mine|sk_mine|sk_real/)
  expect((await ask(environment, '/connections/u1/slack', 'pk_mine', 'sk_mine')).status).toBe(404)
  expect((await ask(environment, '/connections/u1/slack', 'pk_mine', 'sk_real')).status).toBe(401)
})

test('a wrong key of the environment is told by its name', async () => {
  const { stderr, code } = await run({ XKIT_EMULATOR_PUBLISHABLE_KEY: 'sk_stray:' }).ended
  expect(stderr).toBe('xkit-emulator: XKIT_EMULATOR_PUBLISHABLE_KEY must not hold a colon\n')
  expect(code).toBe(2)
})

test('prints whom it knows, with the state of each connection, and where the service is', async () => {
  const seed = {
    users: { u1: { slack: { accessToken: 'xoxb' }, github: { enabled: false } }, u2: {} },
    groups: { 'acme\u202e': { slack: { status: 'error', errorMessage: 'gone' } } },
    contexts: { c1: { slack: { status: 'awaiting_callback' } } },
  }
  const { result, environment } = await startCommand('--seed', seedFile('known.json', JSON.stringify(seed)))
  expect(result.stdout).toContain(`
It knows:

  user u1: slack active, github not enabled
  user u2: nothing set up
  group acme : slack needs repair
  context c1: slack pending (awaiting_callback)
`)
  expect(result.stdout).not.toMatch(/xoxb|\u202e/)
  const service = `${environment.XKIT_CATALOG_URL}/service`
  expect(result.stdout).toContain(`  Service       ${service}/<slug>/`)
  const headers = { authorization: 'Bearer xoxb', connection: 'close' }
  expect(await (await fetch(`${service}/slack/me`, { headers })).json()).toMatchObject({ ok: true })
})

test('without a seed it says so; of a long one it shows the beginning', async () => {
  expect((await startCommand()).result.stdout).toMatch(/It knows no owner.*--seed/)
  const users = Object.fromEntries(Array.from({ length: 25 }, (_, index) => [`u${index}`, {}]))
  const { result } = await startCommand('--seed', seedFile('long.json', JSON.stringify({ users })))
  expect(result.stdout).toMatch(/ {2}user u19: nothing set up\n {2}and 5 more\n/)
})

test('--allow-host adds names that it answers for', async () => {
  const { child, ended, environment } = await startCommand(
    '--allow-host',
    'xkit',
    '--allow-host',
    'other.test',
  )
  const { port } = new URL(environment.XKIT_CATALOG_URL)
  const statusFor = async host => {
    const request = http.get({ host: '127.0.0.1', port, headers: { host }, agent: false })
    const [response] = await once(request, 'response')
    response.resume()
    return response.statusCode
  }
  expect(await statusFor('xkit:4010')).toBe(200)
  expect(await statusFor('other.test')).toBe(200)
  expect(await statusFor('evil.example')).toBe(421)
  child.kill()
  expect((await ended).stderr).toMatch(/XKIT_EMULATOR_HOST.*"evil\.example".*--allow-host/)
})

test('a seed may begin with a byte order mark', async () => {
  const { environment } = await startCommand(
    '--seed',
    seedFile('bom.json', '\uFEFF{ "users": { "u1": {} } }'),
  )
  expect((await ask(environment, '/connections/u1/slack')).status).toBe(200)
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

const WARNING = /^xkit-emulator: warning: anyone who reaches this port and has the keys gets tokens[^\n]*\n$/

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
  const elsewhere = { ...environment, XKIT_BASE_URL: `http://127.0.0.2:${port}/api/platform` }
  const asked = process.platform === 'darwin' ? environment : elsewhere
  expect((await ask(asked, '/connections/u1/slack')).status).toBe(404)
})

test.each([[[]], [['--host', '127.0.0.1']], [['--host', 'localhost']]])(
  'with %p it is reached by this machine alone, without a warning',
  async args => {
    const { environment, result } = await startCommand(...args)
    expect(result.stderr).toBe('')
    const { port } = new URL(environment.XKIT_BASE_URL)
    expect((await ask(environment, '/connections/u1/slack')).status).toBe(404)
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
  const flags = [
    '--port',
    '--host',
    '--allow-host',
    '--seed',
    '--publishable-key',
    '--secret-key',
    '--catalog-path',
  ]
  for (const flag of flags) expect(stdout).toContain(flag)
  expect(stdout).toMatch(/XKIT_EMULATOR_SECRET_KEY.*list of processes.*history/s)
  expect(stdout).toMatch(/Exit codes: 0 .*; 1 .*; 2 /)
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
  [['--allow-host', 'http://xkit'], /--allow-host must be the name of a host/],
  [['--allow-host', 'a\u009b31m'], /--allow-host/],
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
  [
    'ends too early',
    '{ "users": {\n"u1": { "slack": { "accessToken": "xoxb" ',
    /line 2, column 42: the file ends too early/,
  ],
  [
    'has a comment',
    '{\n  // "xoxb"\n  "users": {} }',
    /not valid JSON: line 2, column 3: JSON has no comments/,
  ],
  ['has a comment of another kind', '{ "users": {} /* xoxb */ }', /line 1, column 15: JSON has no comments/],
  ['has a comma too much', '{\n "users": {\n "u1": {},\n } }', /line 4, column 2: a comma stands before it/],
  ['has single quotes', "{ 'users': {} }", /line 1, column 3: text stands in double quotes/],
  [
    'has a mark within',
    '{}\r\n\uFEFF',
    /line 2, column 1: the character U\+FEFF may only stand inside of a text/,
  ],
  ['has a space that is none', '{ "users":\u00A0{} }', /line 1, column 11: the character U\+00A0/],
  [
    'has an open text',
    '{ "users": {}, "xoxb\n": 1 }',
    /line 1, column 16: the text that begins here is not closed/,
  ],
  ['is UTF-16', Buffer.from('\uFEFF{ "users": {} }', 'utf16le'), /encoded as UTF-16; save it as UTF-8/],
  ['is UTF-16 of the other order', Buffer.from('\uFEFF{}', 'utf16le').swap16(), /UTF-16/],
  ['is UTF-16 without a mark', Buffer.from('{ "users": {} }', 'utf16le'), /UTF-16/],
  [
    'is Latin-1',
    Buffer.from('{ "users": {\n"Jos\xe9": {} } }', 'latin1'),
    /not encoded as UTF-8 \(line 2\); save it as UTF-8/,
  ],
  ['is empty', '', /line 1, column 1: the file ends too early/],
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
