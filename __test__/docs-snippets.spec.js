// Owns the proof of the code in the docs: each file of docs/snippets is shown on a page, and does what the page says.
// Those that run are run in a process of their own, against the emulator.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { text } = require('node:stream/consumers')
const { pathToFileURL } = require('node:url')
const { startEmulator } = require('xkit-node/emulator')
const manifest = require('../package.json')
const { createAuthority } = require('./support/certificates.js')
const { startServer } = require('./support/http-rigs.js')
const { PAGES, ROOT, fencesOf, read } = require('./support/pages.js')
const { startRedis } = require('./support/redis-rigs.js')
const { closeRigs } = require('./support/rigs.js')
const { testsWith } = require('./support/tools.js')

const withRedis = testsWith('redis-server')

const FOLDER = 'docs/snippets'
/** Those in folders need more than Node: `npm run test:services` runs them. */
const SNIPPETS = readdirSync(path.join(ROOT, FOLDER)).filter(name => name.includes('.'))
const OF_SERVICES = readdirSync(path.join(ROOT, FOLDER, 'services')).map(name => `services/${name}`)
const LIMIT_MS = 20_000
const PRELOAD = ['--import', pathToFileURL(path.join(__dirname, 'support', 'github.mjs')).href]

let emulator
let scratch

beforeEach(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), 'xkit-docs-'))
  emulator = await startEmulator({
    users: {
      'some-user-id': { slack: { accessToken: 'user-token' }, github: {} },
      'broken-user': { slack: { status: 'error', errorMessage: 'The app was removed' } },
      'waiting-user': { slack: { status: 'awaiting_callback' } },
      'new-user': {},
    },
    groups: { acme: { slack: { accessToken: 'group-token' } } },
    contexts: { c1: { slack: { accessToken: 'context-token' } } },
  })
})
afterEach(async () => {
  rmSync(scratch, { recursive: true })
  await emulator.close()
  await closeRigs()
})

const proven = []

/** The test of one snippet. */
function proof(snippet, what, body, run = test) {
  proven.push(snippet)
  run(`${snippet} ${what}`, body, 3 * LIMIT_MS)
}

/** A process in the environment of a deployment, with the emulator as the platform; what it prints. */
async function node(args, env) {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: {
      ...process.env,
      XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
      XKIT_SECRET_KEY: emulator.secretKey,
      XKIT_BASE_URL: emulator.baseUrl,
      XKIT_CATALOG_URL: emulator.catalogUrl,
      GITHUB_URL: `${emulator.serviceUrl}/github`,
      ...env,
    },
    timeout: LIMIT_MS,
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

/** Runs a snippet as it is; the lines that it prints. */
async function run(snippet) {
  const stdout = await node([...PRELOAD, `${FOLDER}/${snippet}`])
  return stdout.trimEnd().split('\n')
}

/** Runs a snippet and, with all its names, what follows it; the lines that are printed. */
async function runWith(snippet, more, env) {
  const type = snippet.endsWith('.cjs') ? 'commonjs' : 'module'
  const code = `${read(`${FOLDER}/${snippet}`)}\n;(async () => {${more}})()`
  const stdout = await node([...PRELOAD, `--input-type=${type}`, '--eval', code], env)
  return stdout.trimEnd().split('\n')
}

/** What an expression is after a snippet. */
async function resultOf(snippet, expression, env) {
  const [line] = await runWith(snippet, `console.log(JSON.stringify(${expression}))`, env)
  return JSON.parse(line)
}

const asked = () => emulator.requests.map(request => request.path.replace('/api/platform', ''))
const served = () => emulator.serviceRequests.map(({ path, status }) => `${path} ${status}`)
const connectAt = slug => `${emulator.catalogUrl}/connectors/${slug}`

proof('first-token.mjs', 'gives tokens, and where to connect', async () => {
  emulator.setConnection('some-user-id', 'github', { enabled: false })
  const values = await resultOf('first-token.mjs', '[userToken, groupToken, next]')
  expect(values).toEqual(['user-token', 'group-token', 'https://acme.xkit.co/connectors/github'])
})

proof('credentials.mjs', 'reads the keys again when they were refused', async () => {
  const file = path.join(scratch, 'keys.json')
  const { publishableKey, secretKey } = emulator
  writeFileSync(file, JSON.stringify({ publishableKey, secretKey: 'sk_replaced_long_ago' }))
  const right = JSON.stringify({ publishableKey, secretKey })
  const outcomes = await runWith(
    'credentials.mjs',
    `const { writeFile } = await import('node:fs/promises')
     console.log(await slackToken('some-user-id').catch(error => error.code))
     await writeFile(process.env.XKIT_KEYS_FILE, ${JSON.stringify(right)})
     console.log(await slackToken('some-user-id'))`,
    { XKIT_KEYS_FILE: file },
  )
  expect(outcomes).toEqual(['ERR_XKIT_INVALID_API_KEY', 'user-token'])
})

proof('owners.mjs', 'asks for each kind of owner', async () => {
  const tokens = await resultOf('owners.mjs', '[ofUser, ofGroup, ofContext]')
  expect(tokens).toEqual(['user-token', 'group-token', 'context-token'])
  expect(asked()).toEqual([
    '/connections/some-user-id/slack',
    '/groups/acme/connections/slack',
    '/contexts/c1/connections/slack',
  ])
})

proof('states.mjs', 'tells what to do in each state', async () => {
  const owners = ['some-user-id', 'waiting-user', 'nobody', 'new-user', 'broken-user']
  const steps = await resultOf('states.mjs', `await Promise.all(${JSON.stringify(owners)}.map(slackStep))`)
  expect(steps).toEqual([
    { use: 'user-token' },
    { waitThenAskAgain: true },
    { connectAt: connectAt('slack') },
    { connectAt: connectAt('slack') },
    { reconnectAt: connectAt('slack'), because: 'The app was removed' },
  ])
})

proof('wait.mjs', 'goes on once the owner has connected', async () => {
  const imported = resultOf('wait.mjs', "await importAfterConnecting('new-user', token => ({ token }))")
  while (!emulator.requests.some(({ status }) => status === 200)) await new Promise(setImmediate)
  emulator.setConnection('new-user', 'slack', { accessToken: 'new-token' })
  expect(await imported).toEqual({ token: 'new-token' })
  expect(asked()).toEqual(['/connections/new-user/slack', '/connections/new-user/slack'])
})

proof('copy-connection.mjs', 'has the token in the copy that names it, and in no other', async () => {
  const values = await resultOf('copy-connection.mjs', '[copy, { ...connection }]')
  expect(values[1]).toMatchObject({ status: 'active', slug: 'slack' })
  expect(values[1]).not.toHaveProperty('accessToken')
  expect(values[0]).toEqual({ ...values[1], accessToken: 'user-token' })
})

proof(
  'fleet.mjs',
  'reads from Redis what another process has fetched',
  async () => {
    const redis = await startRedis()
    for (const hits of [0, 1]) {
      const env = { REDIS_URL: redis.url }
      const values = await resultOf('fleet.mjs', '[accessToken, xkit.stats().fleet.hits]', env)
      expect(values).toEqual(['user-token', hits])
    }
    expect(asked()).toHaveLength(1)
  },
  withRedis.test,
)

proof('rejected-token.mjs', 'calls the service with a token', async () => {
  expect(await resultOf('rejected-token.mjs', 'answer.status')).toBe(200)
  expect(served()).toEqual(['/service/github/user 200'])
})

proof('repositories.mjs', 'repairs a 401 once', async () => {
  await resultOf('repositories.mjs', "await repositories('some-user-id').then(({ status }) => status)")
  emulator.revokeToken('some-user-id', 'github', { keepHandingOut: true })
  await resultOf('repositories.mjs', "await repositories('some-user-id').then(({ status }) => status)")
  expect(served()).toEqual(['/service/github/user/repos 200', '/service/github/user/repos 401'])
})

proof('is-rejected.mjs', 'repairs what a service says with numbers of its own', async () => {
  // The end of a token's life makes the platform hand out another one.
  emulator.setConnection('some-user-id', 'example', { expiresIn: 0.001 })
  const answers = await runWith(
    'is-rejected.mjs',
    `const answers = [{ errcode: 42001 }, { ok: true }]
     console.log(await post('some-user-id', () => answers.shift()), answers.length)`,
  )
  expect(answers).toEqual(['{ ok: true } 0'])
  expect(asked()).toHaveLength(2)
})

proof('bearer-fetch.mjs', 'sends the token along', async () => {
  expect(await resultOf('bearer-fetch.mjs', 'response.status')).toBe(200)
  expect(served()).toEqual(['/service/github/user/repos 200'])
})

proof('hosts.mjs', 'sends a token to the named hosts alone', async () => {
  const outcomes = await resultOf(
    'hosts.mjs',
    `[(await read('https://api.github.com/user/repos')).status,
      await read('https://github.com.example/user').catch(({ code }) => code)]`,
  )
  expect(outcomes).toEqual([200, 'ERR_INVALID_ARG_VALUE'])
  expect(asked()).toHaveLength(1)
  expect(served()).toEqual(['/service/github/user/repos 200'])
})

proof('errors.mjs', 'tells a connection to make from an outage', async () => {
  emulator.failNext({ times: 3 })
  const outcomes = await resultOf(
    'errors.mjs',
    "[await slackToken('new-user'), await slackToken('new-user')]",
  )
  expect(outcomes).toEqual([{ tryAgainLater: true }, { redirectTo: connectAt('slack') }])
})

proof('log-error.mjs', 'writes one line without an id', async () => {
  emulator.failNext({ times: 3 })
  const [line] = await runWith('log-error.mjs', "await logged('new-user', 'slack').catch(() => {})")
  expect(JSON.parse(line)).toMatchObject({
    code: 'ERR_XKIT_SERVER',
    retryable: true,
    attempts: 3,
    status: 503,
  })
  expect(line).not.toContain('new-user')
})

proof('limits.mjs', 'gives up when its caller does, and has time for a job', async () => {
  emulator.latencyMs = 200
  const values = await resultOf(
    'limits.mjs',
    `await Promise.all([
      tokenFor('some-user-id', { signal: AbortSignal.timeout(50) }).catch(error => error.name),
      tokenForJob('some-user-id'),
    ])`,
  )
  expect(values).toEqual(['TimeoutError', 'user-token'])
})

proof('slugs.ts', 'compiles, and the mistyped slug does not', () => {
  const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const flags = ['--noEmit', '--strict', '--ignoreConfig', '--module', 'nodenext', '--types', 'node']
  execFileSync(process.execPath, [tsc, ...flags, `${FOLDER}/slugs.ts`], { cwd: ROOT })
})

proof('shutdown.mjs', 'answers what was begun, then closes the client', async () => {
  emulator.latencyMs = 200
  const lines = await runWith(
    'shutdown.mjs',
    `await once(server, 'listening')
     const answer = fetch('http://127.0.0.1:' + server.address().port)
     await once(server, 'request')
     process.kill(process.pid, 'SIGTERM')
     console.log(await (await answer).text())
     await once(server, 'close')
     await new Promise(setImmediate)
     console.log(await xkit.getConnection('some-user-id', 'slack').catch(error => error.code))`,
  )
  expect(lines).toEqual(['active', 'ERR_XKIT_CLOSED'])
  expect(asked()).toEqual(['/connections/some-user-id/slack'])
})

proof('worker.mjs', 'has a client in each thread', async () => {
  expect(await run('worker.mjs')).toEqual(['in the worker: active'])
  expect(asked()).toEqual(['/connections/some-user-id/slack'])
})

proof('stats.mjs', 'counts', async () => {
  const [line] = await run('stats.mjs')
  // The platform is in another process: the second call finds its answer in the cache if that has come by then.
  const counted = /^\{ calls: 3, requests: 1, coalesced: (\d), cacheHits: (\d) \}$/.exec(line)
  expect(Number(counted?.[1]) + Number(counted?.[2])).toBe(2)
  expect(asked()).toEqual(['/connections/some-user-id/slack'])
})

proof('observability-calls.mjs', 'prints each call', async () => {
  emulator.failNext({ times: 3 })
  const lines = await runWith(
    'observability-calls.mjs',
    `const { getAccessToken } = await import('xkit-node')
     await getAccessToken('some-user-id', 'slack').catch(() => {})
     await getAccessToken('some-user-id', 'slack')`,
  )
  expect(JSON.parse(lines.join('\n'))).toEqual({
    operation: 'getAccessToken',
    ownerKind: 'user',
    slug: 'slack',
    outcome: 'ERR_XKIT_SERVER',
    attempts: 3,
    durationMs: expect.any(Number),
  })
})

proof('webhook.mjs', 'takes events from those who know the secret', async () => {
  const payload = { connector: { slug: 'slack' }, context: { external_id: 'some-user-id' } }
  const event = JSON.stringify({ event_type: 'connection.disabled', payload })
  const lines = await runWith(
    'webhook.mjs',
    `await new Promise(resolve => server.once('listening', resolve))
     for (const [secret, body] of [['right', ${JSON.stringify(event)}], ['right', '{}'], ['wrong', '{}']]) {
       const url = 'http://127.0.0.1:' + server.address().port + '/webhooks/xkit/' + secret
       console.log((await fetch(url, { method: 'POST', body })).status)
     }
     server.close()`,
    { WEBHOOK_SECRET: 'right' },
  )
  expect(lines).toEqual(['connection.disabled slack', '204', '400', '404'])
})

proof('node-test.mjs', 'passes', async () => {
  const report = await node(['--test', '--test-reporter=tap', `${FOLDER}/node-test.mjs`])
  expect(report).toContain('# pass 2\n# fail 0')
})

proof('faults.mjs', 'prints what its page says', async () => {
  const printed = await run('faults.mjs')
  expect(printed).toHaveLength(6)
  const quoted = printed.map(line => `\`${line}\``)
  const sentence = `This prints ${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}.`
  expect(read('docs/testing.md').replaceAll(/\s+/g, ' ')).toContain(sentence)
})

proof('made-errors.mjs', 'makes errors that pass for those of a call', async () => {
  const seen = await resultOf(
    'made-errors.mjs',
    "errors.map(error => [error.name, error.code, error.retryable, error.connectUrl ?? ''])",
  )
  expect(seen).toEqual([
    ['XkitApiError', 'ERR_XKIT_SERVER', true, ''],
    ['XkitNetworkError', 'ERR_XKIT_TIMEOUT', true, ''],
    ['ConnectionUnavailableError', 'ERR_XKIT_NOT_ENABLED', false, 'https://acme.xkit.co'],
  ])
})

test('docs/testing.md tells how to provoke each error, as it is', async () => {
  const { XkitClient } = require('..')
  const page = read('docs/testing.md')
  const rows = [...page.matchAll(/^\| (`ERR_XKIT_.*?) \| (.*?) \|$/gm)]
  const { baseUrl, publishableKey, secretKey } = emulator
  for (const [, codes, how] of rows) {
    const steps = [...how.matchAll(/`((?:failNext|setConnection)\(.*?\))`/g)].map(([, step]) => step)
    const expected = [...codes.matchAll(/ERR_\w+/g)].map(([code]) => code)
    for (const [index, code] of expected.entries()) {
      const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, timeoutMs: 3000 })
      const step = steps[index]
      emulator.setConnection('u1', 'slack')
      if (step !== undefined) new Function('emulator', `emulator.${step}`)(emulator)
      const owner = step === undefined ? 'nobody' : 'u1'
      if (code === 'ERR_XKIT_CLOSED') await xkit.close()
      const timeoutMs = code === 'ERR_XKIT_TIMEOUT' ? 200 : 3000
      const call = () => xkit.getAccessToken(owner, 'slack', { timeoutMs })
      const error = code === 'ERR_XKIT_MISSING_CREDENTIALS' ? await withoutKeys() : await call().catch(e => e)
      expect([how, error.code]).toEqual([how, code])
      await xkit.close()
    }
  }
  expect(rows).toHaveLength(13)

  /** What a client without keys comes to, at the first call at the latest. */
  async function withoutKeys() {
    try {
      return await new XkitClient({ baseUrl }).getAccessToken('u1', 'slack')
    } catch (error) {
      return error
    }
  }
})

proof('refused-token.mjs', 'is repaired as long as the platform has another token', async () => {
  expect(await run('refused-token.mjs')).toEqual(['200', '200', '401', '200 401 200 401'])
})

proof('default-client.mjs', 'asks the emulator', async () => {
  expect(await run('default-client.mjs')).toEqual([String('xoxb-test'.length)])
})

proof('catalog-path.mjs', 'has the page where the template says', async () => {
  expect(await run('catalog-path.mjs')).toEqual(['/integrations/slack 200'])
})

test('docs/guide.md names templates that a client takes', () => {
  const { XkitClient } = require('..')
  const page = read('docs/guide.md').split('### Where your catalog is')[1].split('\n## ')[0]
  const templates = page.match(/https:\/\/[^`]+\{slug\}/g)
  expect(templates).toHaveLength(5)
  for (const catalogUrl of templates) {
    const xkit = new XkitClient({ catalogUrl, publishableKey: 'pk', secretKey: 'sk' })
    expect(xkit.connectorUrl('git/hub')).toBe(catalogUrl.replace('{slug}', 'git%2Fhub'))
  }
})

proof('send-webhook.mjs', 'makes the next call ask', async () => {
  expect(await run('send-webhook.mjs')).toEqual(['{ status: 204, attempts: 1 } 2'])
})

proof('lambda.mjs', 'answers, or redirects', async () => {
  const answers = await resultOf(
    'lambda.mjs',
    "[await handler({ userId: 'some-user-id' }), await handler({ userId: 'new-user' })]",
  )
  expect(answers).toEqual([
    { statusCode: 200, body: expect.stringContaining('some-user-id') },
    { statusCode: 303, headers: { location: connectAt('github') } },
  ])
})

proof('private-ca.mjs', 'trusts a server of that authority', async () => {
  const authority = createAuthority()
  const server = await startServer({ identity: authority.issue({ hosts: ['127.0.0.1'] }) })
  const file = path.join(scratch, 'company.pem')
  writeFileSync(file, authority.certificate)
  const env = { XKIT_BASE_URL: server.baseUrl, COMPANY_CA_FILE: file }
  await resultOf('private-ca.mjs', "(await xkit.getAccessToken('some-user-id', 'slack')).length", env)
  expect(server.requests.count).toBe(1)
})

proof('client-certificate.mjs', 'shows the certificate to a server that demands one', async () => {
  const authority = createAuthority()
  const client = authority.issue({ purpose: 'clientAuth' })
  const server = await startServer({
    identity: authority.issue({ hosts: ['127.0.0.1'] }),
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  })
  const files = ['ca', 'cert', 'key'].map(name => path.join(scratch, `client-${name}.pem`))
  const contents = [authority.certificate, client.cert, client.key]
  for (const [index, file] of files.entries()) writeFileSync(file, contents[index])
  const [NODE_EXTRA_CA_CERTS, CLIENT_CERT_FILE, CLIENT_KEY_FILE] = files
  const env = { XKIT_BASE_URL: server.baseUrl, NODE_EXTRA_CA_CERTS, CLIENT_CERT_FILE, CLIENT_KEY_FILE }
  const length = "(await xkit.getAccessToken('some-user-id', 'slack')).length"
  await resultOf('client-certificate.mjs', length, env)
  expect(server.requests.count).toBe(1)
})

proof('axios-after.cjs', 'gives the token', async () => {
  const token = await resultOf('axios-after.cjs', "await getAccessToken('some-user-id', 'slack')")
  expect(token).toBe('user-token')
})

// The package does not depend on axios: how this one fails was seen by hand.
proof('axios-before.cjs', 'is well-formed', async () => {
  expect(await node(['--check', `${FOLDER}/axios-before.cjs`])).toBe('')
})

proof('next.config.mjs', 'leaves the package external', async () => {
  const config = await resultOf(
    'next.config.mjs',
    "(await import('./docs/snippets/next.config.mjs')).default",
  )
  expect(config).toEqual({ serverExternalPackages: [manifest.name] })
})

proof('rollup.config.mjs', 'leaves the package external', async () => {
  const config = await resultOf(
    'rollup.config.mjs',
    "(await import('./docs/snippets/rollup.config.mjs')).default",
  )
  expect(config.external).toEqual([manifest.name])
})

proof('webpack.config.cjs', 'leaves the package external', () => {
  const { externals } = require('../docs/snippets/webpack.config.cjs')
  expect(externals).toEqual({ [manifest.name]: `commonjs ${manifest.name}` })
})

proof('esbuild.sh', 'leaves the package external', () => {
  expect(read(`${FOLDER}/esbuild.sh`).split(' ')).toContain(`--external:${manifest.name}`)
})

/** Known instructions, images of a Node that is supported, copies from stages that exist, commands of npm. */
function expectDockerfile(name) {
  const lines = read(`${FOLDER}/${name}`).split('\n').filter(Boolean)
  const stages = lines.flatMap(line => /^FROM \S+ AS (\S+)$/.exec(line)?.[1] ?? [])
  for (const line of lines) {
    expect(line).toMatch(/^(FROM node:\d+-(slim|alpine)|WORKDIR \/|COPY |RUN npm ci|USER node|CMD \[".+"\])/)
    const [, version = 20] = /^FROM node:(\d+)/.exec(line) ?? []
    expect(Number(version)).toBeGreaterThanOrEqual(20)
    const [, stage] = /--from=(\S+)/.exec(line) ?? []
    if (stage !== undefined) expect(stages).toContain(stage)
  }
}

proof('slim.Dockerfile', 'is well-formed', () => expectDockerfile('slim.Dockerfile'))
proof('alpine.Dockerfile', 'is well-formed', () => expectDockerfile('alpine.Dockerfile'))

proof('allow-http.mjs', 'calls a platform by http outside of production', async () => {
  // On Unix, an address of this machine that is not one of the loopback.
  const host = process.platform === 'win32' ? '127.0.0.1' : '0.0.0.0'
  const env = { XKIT_BASE_URL: emulator.baseUrl.replace('127.0.0.1', host), NODE_ENV: 'development' }
  const call = "await xkit.getAccessToken('some-user-id', 'slack')"
  expect(await resultOf('allow-http.mjs', call, env)).toBe('user-token')
  const isRefused = 'try { new XkitClient({ allowHttp: false }) } catch (error) { console.log(error.code) }'
  if (host === '0.0.0.0')
    expect(await runWith('allow-http.mjs', isRefused, env)).toEqual(['ERR_INVALID_ARG_VALUE'])
})

proof('compose.yaml', 'starts the emulator so that the application finds it', async () => {
  const text = read(`${FOLDER}/compose.yaml`)
  const list = key => JSON.parse(new RegExp(`^ +${key}:\\s+(\\[.*\\])$`, 'm').exec(text)[1])
  const all = Object.fromEntries(
    Array.from(text.matchAll(/^ {6}(XKIT_\w+): (.+)$/gm), ([, name, value]) => [name, value]),
  )
  const ofEmulator = ([name]) => name.startsWith('XKIT_EMULATOR_')
  const environment = Object.fromEntries(Object.entries(all).filter(entry => !ofEmulator(entry)))
  const env = { ...process.env, ...Object.fromEntries(Object.entries(all).filter(ofEmulator)) }
  const services = Array.from(text.matchAll(/^ {2}(\w+):$/gm), ([, name]) => name)
  const [npx, no, end, command, ...flags] = list('command')
  expect([npx, no, end]).toEqual(['npx', '--no', '--'])
  const [, mounted] = list('volumes')[0].split(':')
  expect(flags).toContain(`--seed=${mounted}`)

  const seed = path.join(scratch, 'seed.json')
  writeFileSync(seed, JSON.stringify({ users: { u1: { slack: { accessToken: 'seeded' } } } }))
  const args = [manifest.bin[command], ...flags.map(flag => flag.replace(mounted, seed)), '--port', '0']
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    let printed = ''
    for await (const chunk of child.stdout) {
      printed += chunk
      if (printed.includes('Ctrl+C')) break
    }
    const set = name => new RegExp(`^${name}=(.*)$`, 'm').exec(printed)[1]
    const { hostname, port, pathname } = new URL(environment.XKIT_BASE_URL)
    expect(services).toContain(hostname)
    expect(flags).toContain(`--allow-host=${hostname}`)
    expect(pathname).toBe(new URL(set('XKIT_BASE_URL')).pathname)
    expect(list('ports')).toEqual([`127.0.0.1:${port}:${port}`])
    expect(environment.XKIT_CATALOG_URL).toBe(`http://localhost:${port}`)
    const ofApplication = { ...environment, XKIT_BASE_URL: set('XKIT_BASE_URL') }
    const token = await resultOf('allow-http.mjs', "await xkit.getAccessToken('u1', 'slack')", ofApplication)
    expect(token).toBe('seeded')
    const [, , flag, check] = list('test')
    await node([flag, check.replaceAll(port, new URL(set('XKIT_BASE_URL')).port)])
  } finally {
    child.kill('SIGKILL')
  }
})

test('the port of compose.yaml is the one that the emulator takes by itself', () => {
  const help = execFileSync(process.execPath, ['bin/xkit-emulator.js', '--help'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  expect(read(`${FOLDER}/compose.yaml`)).toContain(/default (\d+)\)/.exec(help)[1])
})

proof('install-for-another-platform.sh', 'installs the binary of that platform', () => {
  const npm = (...args) =>
    execFileSync('npm', [...args, '--offline', '--no-audit'], { cwd: scratch, stdio: 'pipe' })
  const platforms = readdirSync(path.join(ROOT, 'npm')).filter(name => name.startsWith('linux'))
  for (const name of platforms)
    cpSync(path.join(ROOT, 'npm', name), path.join(scratch, name), { recursive: true })
  npm('init', '--yes')
  npm('pack', ...platforms.map(name => `./${name}`))
  const tarballs = readdirSync(scratch).filter(name => name.endsWith('.tgz'))
  npm('install', '--save-optional', ...tarballs.map(name => `./${name}`))

  const [command, ...args] = read(`${FOLDER}/install-for-another-platform.sh`).trim().split(' ')
  expect(command).toBe('npm')
  npm(...args)
  const installed = readdirSync(path.join(scratch, 'node_modules')).filter(name =>
    name.startsWith('xkit-node-'),
  )
  expect(installed).toContain('xkit-node-linux-arm64-musl')
  // npm 10 writes no libc into a lockfile, so there may be the other one too.
  expect(installed.filter(name => !name.startsWith('xkit-node-linux-arm64-'))).toEqual([])
})

test('every snippet is proven here, and shown on a page', () => {
  const shown = PAGES.flatMap(page => fencesOf(page).map(({ file }) => file?.split('#')[0]))
  expect([...proven].sort()).toEqual([...SNIPPETS].sort())
  expect([...SNIPPETS, ...OF_SERVICES].filter(name => !shown.includes(`${FOLDER}/${name}`))).toEqual([])
})
