// Owns the proof of the recipes: a small application of each one, against the emulator and a service on loopback.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { readFileSync, readdirSync } = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { ConnectionUnavailableError, xkitErrorOf } = require('../..')
const { startImap, startSmtp } = require('./mail.js')
const { json } = require('./service.js')

const FOLDER = path.join(__dirname, '..', '..', 'docs', 'snippets', 'recipes')
const load = name => import(pathToFileURL(path.join(FOLDER, `${name}.mjs`)).href)
const [FIRST, SECOND] = ['first-recipe-token', 'second-recipe-token']

const rejectionOf = promise =>
  promise.then(
    () => assert.fail('it resolved'),
    error => error,
  )

/** An owner whose token the platform knows to be out of date once the service has rejected it. */
function startStale({ emulator, answer }, owner, slug, fine, dead = json(401, { error: 'invalid_token' })) {
  emulator.setConnection(owner, slug, { accessToken: FIRST })
  const seen = []
  answer(({ headers }) => {
    seen.push(headers.authorization)
    if (headers.authorization === `Bearer ${SECOND}`) return fine
    emulator.setConnection(owner, slug, { accessToken: SECOND })
    return dead
  })
  return seen
}

async function jobs({ emulator }, name, run, isGivenUp) {
  emulator.setConnection(`${name} gone`, 'slack', { enabled: false })
  emulator.setConnection(`${name} pending`, 'slack', { status: 'awaiting_callback' })
  assert.equal(isGivenUp(await rejectionOf(run(`${name} gone`))), true)
  assert.equal(isGivenUp(await rejectionOf(run(`${name} pending`))), false)
}

const RECIPES = {
  async bullmq(world) {
    const { processor } = await load('bullmq')
    const run = userId => processor({ data: { userId } })
    await jobs(world, 'bullmq', run, error => error.name === 'UnrecoverableError')
    const seen = startStale(
      world,
      'bullmq',
      'slack',
      json(200, { ok: true }),
      json(200, { ok: false, error: 'token_expired' }),
    )
    assert.deepEqual(await run('bullmq'), { ok: true })
    assert.equal(seen.length, 2)
  },

  async temporal(world) {
    const { postStandup } = await load('temporal')
    await jobs(world, 'temporal', postStandup, error => error.nonRetryable)
    const error = await rejectionOf(postStandup('temporal gone'))
    assert.equal(error.type, 'ERR_XKIT_NOT_ENABLED')
    assert.equal(xkitErrorOf(error) instanceof ConnectionUnavailableError, true)
  },

  async inngest(world) {
    const { serve } = require('inngest/edge')
    process.env.INNGEST_DEV = '1'
    const { inngest, postStandup } = await load('inngest')
    const handle = serve({ client: inngest, functions: [postStandup] })
    /** Runs the function as Inngest's server does, by a request to the application. */
    const call = async userId => {
      const event = { name: 'standup/due', data: { userId }, id: '1', ts: 1 }
      const ctx = { run_id: 'run', attempt: 0, stack: { stack: [], current: 0 } }
      const body = JSON.stringify({ version: 1, event, events: [event], steps: {}, ctx })
      const headers = { host: 'localhost', 'content-type': 'application/json' }
      const url = 'http://localhost/api/inngest?fnId=acme-post-standup&stepId=step'
      return handle(new Request(url, { method: 'POST', headers, body }))
    }
    const run = async userId => {
      const response = await call(userId)
      if (response.headers.has('x-inngest-no-retry')) throw response
      return response.json()
    }
    await jobs(world, 'inngest', run, ({ headers }) => headers.get('x-inngest-no-retry') === 'true')
    const seen = startStale(world, 'inngest', 'slack', json(200, { ok: true }))
    assert.deepEqual(await run('inngest'), { ok: true })
    assert.equal(seen.length, 2)
  },

  async azure(world) {
    const { me } = await load('azure')
    const seen = startStale(world, 'azure', 'microsoft', json(200, { id: '1' }))
    assert.equal((await me('azure')).body.id, '1')
    assert.deepEqual(seen, [`Bearer ${FIRST}`, `Bearer ${SECOND}`])
    world.emulator.setConnection('azure gone', 'microsoft', { enabled: false })
    assert.equal((await rejectionOf(me('azure gone'))).code, 'ERR_XKIT_NOT_ENABLED')
  },

  async smtp({ emulator }) {
    const { send } = await load('smtp')
    emulator.setConnection('smtp', 'gmail', { accessToken: FIRST })
    const server = await startSmtp(token => {
      if (token === SECOND) return undefined
      emulator.setConnection('smtp', 'gmail', { accessToken: SECOND })
      return '535 5.7.8 Username and Password not accepted'
    })
    const mail = { from: 'me@example.com', to: 'you@example.com', subject: 'a', text: 'b' }
    const at = { host: '127.0.0.1', port: server.port, secure: false, ignoreTLS: true }
    await send('smtp', mail, at)
    assert.deepEqual(server.seen, { tokens: [FIRST, SECOND], mails: 1 })
    server.close()
  },

  async imap({ emulator }) {
    const { mailbox } = await load('imap')
    emulator.setConnection('imap', 'gmail', { accessToken: FIRST })
    const server = await startImap(token => {
      if (token === SECOND) return undefined
      emulator.setConnection('imap', 'gmail', { accessToken: SECOND })
      return '[AUTHENTICATIONFAILED] Invalid credentials (Failure)'
    })
    const at = { host: '127.0.0.1', port: server.port, secure: false, doSTARTTLS: false }
    const client = await mailbox('imap', 'me@example.com', at)
    assert.deepEqual(server.seen.tokens, [FIRST, SECOND])
    client.close()
    server.close()
  },

  async bolt({ emulator }) {
    const { appOf } = await load('bolt')
    emulator.setConnection({ group: 'T1' }, 'slack', { accessToken: FIRST })
    const receiver = { init() {}, start() {}, stop() {} }
    const app = appOf({ receiver, logLevel: 'error' })
    const tokens = []
    app.event('app_mention', async ({ client, context }) => tokens.push(context.botToken, client.token))
    const event = { type: 'app_mention', channel: 'C1', user: 'U1', text: 'hi', ts: '1', event_ts: '1' }
    await app.processEvent({ body: { type: 'event_callback', team_id: 'T1', event }, ack: async () => {} })
    assert.equal(tokens[0], FIRST)
  },

  async 'mcp-client'({ emulator }) {
    const { connect } = await load('mcp-client')
    const tools = [{ name: 'issues', inputSchema: { type: 'object' } }]
    const server = await startMcp(
      () => tools,
      token => {
        if (token === SECOND) return true
        emulator.setConnection('mcp', 'linear', { accessToken: SECOND })
        return false
      },
    )
    emulator.setConnection('mcp', 'linear', { accessToken: FIRST })
    const client = await connect('mcp', server.url)
    assert.deepEqual(
      (await client.listTools()).tools.map(({ name }) => name),
      ['issues'],
    )
    assert.deepEqual([...new Set(server.tokens)], [FIRST, SECOND])
    await client.close()
    server.close()
  },

  async 'mcp-server'(world) {
    const { serverFor } = await load('mcp-server')
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js')
    const { InMemoryTransport } = await import('@modelcontextprotocol/sdk/inMemory.js')
    const callAs = async userId => {
      const [near, far] = InMemoryTransport.createLinkedPair()
      await serverFor(userId).connect(near)
      const client = new Client(
        { name: 'test', version: '1.0.0' },
        { capabilities: { elicitation: { url: {} } } },
      )
      await client.connect(far)
      return client.callTool({ name: 'issues' }).finally(() => client.close())
    }
    startStale(world, 'mcp', 'github', json(200, [{ id: 1 }]))
    assert.equal((await callAs('mcp')).content[0].text, '[{"id":1}]')
    world.emulator.setConnection('mcp gone', 'github', { enabled: false })
    const { elicitations } = await rejectionOf(callAs('mcp gone'))
    assert.equal(elicitations[0].url, 'https://acme.example/connect/github')
  },

  async 'ai-tool'(world) {
    const { readGitHub } = await load('ai-tool')
    const seen = startStale(world, 'ai', 'github', json(200, { login: 'a' }))
    const read = readGitHub('ai')
    assert.deepEqual(await read('https://api.github.com/user'), { status: 200, body: '{"login":"a"}' })
    const asked = seen.length
    for (const url of ['https://github.evil.example/user', 'http://api.github.com/user', 'no URL']) {
      assert.deepEqual(Object.keys(await read(url)), ['error'])
    }
    assert.equal(seen.length, asked)
    world.emulator.setConnection('ai gone', 'github', { enabled: false })
    assert.deepEqual(await readGitHub('ai gone')('https://api.github.com/user'), {
      connectAt: `${world.emulator.catalogUrl}/connectors/github`,
    })
  },

  async express(world) {
    const { app, finish } = await load('express')
    app.get('/', () => failing(world))
    finish()
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const response = await fetch(`http://127.0.0.1:${server.address().port}/`)
    assert.deepEqual([response.status, await response.json()], [409, { connectAt: connectUrlOf(world) }])
    server.close()
  },

  async hono(world) {
    const { app } = await load('hono')
    app.get('/', () => failing(world))
    const response = await app.request('/')
    assert.deepEqual([response.status, await response.json()], [409, { connectAt: connectUrlOf(world) }])
  },

  async trpc(world) {
    const { trpc } = await load('trpc')
    const { fetchRequestHandler } = await import('@trpc/server/adapters/fetch')
    const router = trpc.router({ me: trpc.procedure.query(() => failing(world)) })
    const req = new Request('http://127.0.0.1/me')
    const response = await fetchRequestHandler({ endpoint: '', req, router })
    assert.equal((await response.json()).error.data.connectAt, connectUrlOf(world))
  },
}

const connectUrlOf = ({ emulator }) => `${emulator.catalogUrl}/connectors/slack`

/** A route's handler that fails, with the error as an SDK may wrap it. */
async function failing({ emulator, xkit }) {
  emulator.setConnection('web', 'slack', { enabled: false })
  const cause = await rejectionOf(xkit.getAccessToken('web', 'slack'))
  throw new Error('from an SDK', { cause })
}

/** An MCP server over HTTP that takes the tokens for which `isValid` is true. */
async function startMcp(tools, isValid) {
  const tokens = []
  const results = {
    initialize: params => ({
      protocolVersion: params.protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: 'test', version: '1.0.0' },
    }),
    'tools/list': () => ({ tools: tools() }),
  }
  const server = http.createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const token = request.headers.authorization?.slice('Bearer '.length)
    tokens.push(token)
    if (request.method !== 'POST') return response.writeHead(405).end()
    if (!isValid(token)) return response.writeHead(401).end()
    const { id, method, params } = JSON.parse(text)
    if (id === undefined) return response.writeHead(202).end()
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: results[method](params) }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { tokens, url: `http://127.0.0.1:${server.address().port}/mcp`, close: () => server.close() }
}

/** The versions on the page that are not installed. */
function staleVersions() {
  const page = readFileSync(path.join(__dirname, '..', '..', 'docs', 'recipes.md'), 'utf8')
  const { dependencies } = require('./package.json')
  return [...page.matchAll(/\((@?[\w./-]+) (\d+\.\d+\.\d+)\)/g)]
    .filter(([, name, version]) => dependencies[name] !== version)
    .map(([text]) => text)
}

/** Runs every recipe; gives the names of those that failed. `world.answer` takes what the service answers. */
async function runRecipes(world) {
  const unproven = readdirSync(FOLDER).filter(file => !(path.parse(file).name in RECIPES))
  if (unproven.length > 0) throw new Error(`no test runs ${unproven}`)
  const failed = staleVersions().map(version => `the page says ${version}`)
  for (const [name, prove] of Object.entries(RECIPES)) {
    try {
      await prove(world)
      console.log(`recipe ${name}: works`)
    } catch (error) {
      failed.push(name)
      console.error(`recipe ${name}: FAILED`, error)
    }
  }
  return failed
}

module.exports = { runRecipes }
