// Owns the step about the Redis of a fleet. It uses the Redis as a client does, with an emulator in place of the platform.
'use strict'

const { setTimeout: delay } = require('node:timers/promises')
const { describe } = require('../output.js')
const { DEFAULT_PATHS } = require('../paths.js')
const { startEmulator } = require('../../emulator/index.js')
const { variable } = require('../../lib/environment.js')

const VARIABLE = 'XKIT_REDIS_URL'
/** A login that the Sentinels have for themselves. A client gets it by options. */
const SENTINEL_LOGIN = {
  sentinelUsername: 'XKIT_REDIS_SENTINEL_USERNAME',
  sentinelPassword: 'XKIT_REDIS_SENTINEL_PASSWORD',
}
// The same limit as for the other steps; a client could not use a Redis that takes longer.
const COMMAND_MS = 5000
/** An entry is readable at once, or within this time. */
const WRITTEN_MS = 2000
const PAUSE_MS = 50
/** The life of an entry. */
const TTL_MS = 10_000
const OWNER = 'xkit-doctor'
const SLUG = 'redis'

const RIGHTS =
  '~xkit:* &xkit:* +@connection +eval +get +set +setrange +del +pttl +pexpire +subscribe +publish'

/** What to do about a `lastError` of the client. */
const ADVICE = [
  [
    /^WRONGPASS/,
    'the user name or the password is refused: check both in the URL, percent-encoded, and leave them out for a Redis that has none',
  ],
  [
    /^NOAUTH/,
    'it wants a password: put one into the URL, as in rediss://user:password@host; where Sentinels have another one, into XKIT_REDIS_SENTINEL_PASSWORD',
  ],
  [/^NOPERM/, `the user may not do all that is needed, which is: ${RIGHTS}`],
  [
    /^(MOVED|CROSSSLOT)/,
    'it is a member of a cluster: begin the URL with redis-cluster:// or rediss-cluster://',
  ],
  [/^READONLY/, 'it is a replica: name the one that takes writes, or the Sentinels'],
  [/^OOM/, 'it is full: raise maxmemory, or let it evict (volatile-lru)'],
  [
    /TLS on a plain port|TLS handshake/,
    'it speaks no TLS there: begin the URL with redis://, or name its TLS port',
  ],
  [
    /not Redis's/,
    'it is no Redis, or one that speaks TLS there: begin the URL with rediss://, or check the port',
  ],
  [
    /certificate/,
    'add its authority with NODE_EXTRA_CA_CERTS or the option ca, and use the name that it is for',
  ],
  [/^ERR/, 'it refuses a command: a Sentinel in its place, or a version below 7'],
  [/refused/i, 'nobody listens there: check the host and the port'],
  [/lookup/, 'check the host in the URL, and the DNS of this machine'],
  [/^timed out/, 'check the host and the port, and the firewalls in between'],
  [/.*/, 'check what listens there, and see its own log'],
]

const adviceFor = problem => ADVICE.find(([pattern]) => pattern.test(problem))[1]

/** The Redis URL and where it comes from; undefined if there is none. */
function redisOf(option) {
  if (option !== undefined) return { url: option, source: 'from --redis' }
  const url = variable(VARIABLE)
  return url === undefined ? undefined : { url, source: `from ${VARIABLE}` }
}

/** The URL without user name, password, path and query. */
function shownUrl(text) {
  const { protocol, host } = new URL(text)
  return `${protocol}//${host}`
}

function sentinelLogin() {
  const fields = Object.entries(SENTINEL_LOGIN).map(([option, name]) => [option, variable(name)])
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined))
}

async function checkRedis(step, { XkitClient, redis: { url, source } }) {
  const emulator = await startEmulator({ users: { [OWNER]: { [SLUG]: {} } } })
  const clients = []
  /** Asks for the token with a new client, whose own cache is empty. */
  const look = async () => {
    const { baseUrl, publishableKey, secretKey } = emulator
    const cache = { ttlMs: TTL_MS, redis: { url, ...sentinelLogin(), commandTimeoutMs: COMMAND_MS } }
    const client = new XkitClient({
      baseUrl,
      publishableKey,
      secretKey,
      paths: DEFAULT_PATHS,
      proxy: false,
      cache,
    })
    clients.push(client)
    await client.getAccessToken(OWNER, SLUG)
    return () => client.stats().fleet
  }
  try {
    const fleetOf = await look()
    const where = `${shownUrl(url)} (${source})`
    const problem = (await findsWhatWasWritten(fleetOf, look)) ?? fleetOf().lastError
    if (problem === undefined) step.ok(`${where} is reached, and what is written is found again`)
    else step.fail(`${where} is of no use: ${problem}; ${adviceFor(problem)}`)
  } catch (error) {
    step.fail(describe(error).replace('The option cache.redis', `The URL ${source}`))
  } finally {
    await Promise.all([emulator.close(), ...clients.map(client => client.close())])
  }
}

/** Why no new client finds the entry, or undefined if one does. The client writes it in the background. */
async function findsWhatWasWritten(fleetOf, look) {
  for (const end = performance.now() + WRITTEN_MS; performance.now() < end; await delay(PAUSE_MS)) {
    if (fleetOf().lastError !== undefined) return fleetOf().lastError
    const { hits, lastError } = (await look())()
    if (lastError !== undefined) return lastError
    if (hits > 0) return undefined
  }
  return 'what is written is not found again'
}

module.exports = { checkRedis, redisOf }
