// A polluted Object.prototype, whose fields `process.env[name]` and `options[name]` also find: it redirects nobody. In child
// processes, since it would meet every other test.

const { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { act, closeRigs, startChild, startRawServer, track } = require('./support/rigs.js')
const { startPlatform, json, flat, ACCESS_TOKEN } = require('./support/platform.js')

let folder
let attacker
let attackerPem

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-pollution-'))
  attackerPem = path.join(folder, 'attacker.pem')
  writeFileSync(attackerPem, 'none\n')
  attacker = await startRawServer({ onRequest: act.close })
})

afterEach(async () => {
  await closeRigs()
  rmSync(folder, { recursive: true })
})

/** Every variable that the package reads, with what an attacker would write there. */
function pollution() {
  const addon = path.join(folder, 'addon.js')
  writeFileSync(addon, "process.stdout.write('RAN\\n'); process.exit(7)")
  const url = attacker.baseUrl
  const names = {
    NAPI_RS_NATIVE_LIBRARY_PATH: addon,
    NODE_EXTRA_CA_CERTS: attackerPem,
    NODE_OPTIONS: '--use-openssl-ca',
    SSL_CERT_FILE: attackerPem,
    SSL_CERT_DIR: folder,
    NODE_USE_SYSTEM_CA: '1',
    XKIT_PUBLISHABLE_KEY: 'pk_polluted',
    XKIT_SECRET_KEY: 'sk_polluted',
    XKIT_BASE_URL: url,
    XKIT_CATALOG_URL: url,
    XKIT_USER_PATH: '/polluted/{id}/{slug}',
    XKIT_GROUP_PATH: '/polluted/{id}/{slug}',
    XKIT_CONTEXT_PATH: '/polluted/{id}/{slug}',
    XKIT_REDIS_URL: url.replace('http:', 'redis:'),
    XKIT_HTTP2: '0',
    NO_PROXY: '*',
    no_proxy: '*',
  }
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'ALL_PROXY', 'all_proxy']) names[name] = url
  return names
}

/** What a process prints in which `Object.prototype` holds these before the package is loaded. */
async function inPollutedProcess(script, input, options) {
  const polluted = ({ names, source, ...rest }) => {
    for (const [name, value] of Object.entries(names)) {
      Object.defineProperty(Object.prototype, name, {
        value,
        configurable: true,
        writable: true,
        enumerable: false,
      })
    }
    const print = value => process.stdout.write(`${JSON.stringify({ __proto__: null, value })}\n`)
    // biome-ignore lint/security/noGlobalEval: a function cannot be sent
    eval(`(${source})`)(rest, print)
  }
  const child = startChild(polluted, { names: pollution(), source: String(script), ...input }, options)
  const { code, stdout, stderr } = await child.ended
  return {
    code,
    stderr,
    values: stdout
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line).value),
  }
}

test('the environment that is inherited redirects nobody, and runs no code', async () => {
  const proxy = await startRawServer({ onRequest: act.close })
  const { code, stderr, values } = await inPollutedProcess(
    async ({ root, keys }, print) => {
      const { XkitClient, getAccessToken } = require(root)
      const codeOf = promise => promise.catch(error => error.code)
      print(await codeOf(new XkitClient({ ...keys, maxRetries: 0 }).getAccessToken('u1', 'slack')))
      print(new XkitClient(keys).connectorUrl('slack') ?? 'no catalog')
      print(await codeOf(getAccessToken('u1', 'slack')))
    },
    {},
    // An own variable, so that nothing leaves this machine: it also shows where the client meant to go.
    { env: { HTTPS_PROXY: proxy.baseUrl } },
  )
  expect({ code, stderr, values }).toEqual({
    code: 0,
    stderr: '',
    values: ['ERR_XKIT_PROXY', 'no catalog', 'ERR_XKIT_MISSING_CREDENTIALS'],
  })
  expect(new Set(proxy.requests.entries.map(({ head }) => head.split('\r\n')[0]))).toEqual(
    new Set(['CONNECT app.xkit.co:443 HTTP/1.1']),
  )
  expect(attacker.received().toString()).toBe('')
})

test('the environment that is inherited changes no path, no cache and no command', async () => {
  const platform = track(await startPlatform(json(200, flat())))
  const input = { baseUrl: platform.baseUrl }
  const { code, stderr, values } = await inPollutedProcess(async ({ root, keys, baseUrl }, print) => {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, cache: true })
    for (const owner of ['u1', { group: 'g1' }, { context: 'c1' }]) {
      print(await client.getAccessToken(owner, 'slack'))
    }
    print(client.stats().fleet ?? 'no fleet')
    const { environmentProxy, nodeRoots } = require(`${root}/lib/environment.js`)
    print(environmentProxy() ?? 'no proxy')
    print(nodeRoots() ?? 'no roots')
  }, input)
  expect({ code, stderr, values }).toEqual({
    code: 0,
    stderr: '',
    values: [ACCESS_TOKEN, ACCESS_TOKEN, ACCESS_TOKEN, 'no fleet', 'no proxy', 'no roots'],
  })
  expect(platform.paths).toEqual([
    '/connections/u1/slack',
    '/groups/g1/connections/slack',
    '/contexts/c1/connections/slack',
  ])
  expect(attacker.received().toString()).toBe('')
})

test('nothing else reads the environment', () => {
  const root = path.join(__dirname, '..')
  const files = ['lib', 'cli', 'bin', 'emulator'].flatMap(folder =>
    readdirSync(path.join(root, folder), { recursive: true }).map(file => path.join(folder, file)),
  )
  const readers = files
    .filter(file => file.endsWith('.js'))
    .filter(file =>
      /process\.env\b|\benv\b[^\n]*= process\b/.test(readFileSync(path.join(root, file), 'utf8')),
    )
  expect(readers.map(file => file.replaceAll(path.sep, '/')).sort()).toEqual([
    // Sets a variable for a moment, and reads its own.
    'cli/doctor/environment.js',
    // Hands all of them to a child process.
    'cli/doctor/network.js',
    'lib/environment.js',
  ])
})
