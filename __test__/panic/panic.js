// The panic test: `npm run test:panic`. Builds the addon with a defect that an answer or a slug can provoke, and checks that a
// panic in the core reaches whoever asked as ERR_XKIT_INTERNAL, in fixed words, while the client goes on.
'use strict'

const assert = require('node:assert/strict')
const { execFileSync, spawnSync } = require('node:child_process')
const { copyFileSync, mkdtempSync, rmSync } = require('node:fs')
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
const LIMIT_MS = 30_000
/** The status at which the addon of this test panics. */
const PROVOKES = 299
/** The slug at which it panics. */
const PROBE = 'panic-probe'
const KEYS = { publishableKey: 'pk_panic', secretKey: 'sk_panic_8d1c' }
const TOKEN = 'xoxb-panic-4410'
const BODY = JSON.stringify({
  connection: { enabled: true },
  authorization: { status: 'active', access_token: TOKEN },
})

function build() {
  const args = ['build', '--locked', '--lib', '--features', 'panic-probe', '--message-format', 'json']
  const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 }
  const messages = execFileSync('cargo', args, options).trim().split('\n')
  const artifacts = messages
    .map(line => JSON.parse(line))
    .filter(({ reason }) => reason === 'compiler-artifact')
  return artifacts.find(({ target }) => target.name === 'xkit_node').filenames[0]
}

async function check() {
  const { XkitClient, XkitError } = require('../..')
  const server = createServer((request, response) => {
    response.writeHead(request.url.includes('/defect/') ? PROVOKES : 200).end(BODY)
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const client = new XkitClient({
    ...KEYS,
    baseUrl: `http://127.0.0.1:${server.address().port}`,
    cache: true,
  })

  const outcomes = await Promise.allSettled([
    client.getAccessToken('defect', 'slack'),
    client.getConnection('defect', 'slack'),
    client.getAccessToken('well', 'slack'),
  ])
  const reasons = outcomes.slice(0, 2).map(({ status, reason }) => {
    assert.equal(status, 'rejected')
    assert.ok(reason instanceof XkitError)
    return reason
  })
  for (const { code, message, retryable } of reasons) {
    assert.deepEqual({ code, retryable }, { code: 'ERR_XKIT_INTERNAL', retryable: false })
    assert.equal(message, reasons[0].message)
  }
  assert.equal(outcomes[2].value, TOKEN)

  await assert.rejects(client.getAccessToken('defect', 'slack'), { code: 'ERR_XKIT_INTERNAL' })
  // While a call is taken on, on Node's own thread.
  await assert.rejects(client.getAccessToken('u1', PROBE), { code: 'ERR_XKIT_INTERNAL' })
  for (const ask of [() => client.invalidate('u1', PROBE), () => client.connectorUrl(PROBE)]) {
    assert.throws(ask, error => error instanceof XkitError && error.code === 'ERR_XKIT_INTERNAL')
  }
  assert.equal(await client.getAccessToken('well again', 'slack'), TOKEN)
  const { inFlight, queued } = client.stats()
  assert.deepEqual({ inFlight, queued }, { inFlight: 0, queued: 0 })
  await client.close()
  server.close()
  console.log('panics:', reasons.length + 4)
}

function main() {
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-panic-'))
  try {
    const addon = path.join(folder, 'xkit-node.node')
    copyFileSync(build(), addon)
    const { status, stdout, stderr } = spawnSync(process.execPath, [__filename, 'check'], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, NAPI_RS_NATIVE_LIBRARY_PATH: addon },
      timeout: LIMIT_MS,
    })
    assert.equal(status, 0, `${stdout}${stderr}`)
    assert.equal(stdout, 'panics: 6\n')
    // What Rust itself prints of a panic must hold no secret either.
    assert.match(stderr, /panicked at/)
    for (const secret of [...Object.values(KEYS), TOKEN, 'defect']) assert.ok(!stderr.includes(secret))
    console.log('A panic ends its own calls with ERR_XKIT_INTERNAL, and nothing else.')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[2] === 'check') check()
else main()
