// Owns hostile arguments: whatever is handed over, either nothing is sent or exactly what was asked for.
'use strict'

const { createHash } = require('node:crypto')
const { XkitClient, isXkitError } = require('../..')
const { checkFailure, checkRefusal, ensure, settle } = require('./checks.js')
const { isRefused, number, other, text, textOrOther } = require('./hostile.js')
const { sized } = require('./wire.js')

const KINDS = { user: 'connections', group: 'groups', context: 'contexts' }
const CLIENT_OPTIONS = [
  ...['publishableKey', 'secretKey', 'baseUrl', 'catalogUrl', 'paths', 'proxy', 'ca', 'cache', 'timeout'],
  ...['timeoutMs', 'attemptTimeoutMs', 'connectTimeoutMs', 'maxRetries', 'maxConcurrency', '__proto__', 'x'],
]
const TIMEOUT_MS = 5000

const digest = names => createHash('sha256').update(JSON.stringify(names)).digest('hex')

/** Kind, id and slug as a server reads them, or undefined for a path of another shape. */
function readPath(path) {
  if (!/^\/[\x21-\x7e]+$/.test(path) || /[?#\\]/.test(path)) return undefined
  const segments = path.split('/').slice(1)
  const kind = Object.keys(KINDS).find(name => KINDS[name] === segments[0])
  const middle = kind === 'user' ? [] : ['connections']
  if (kind === undefined || segments.length !== 3 + middle.length) return undefined
  if (kind !== 'user' && segments[2] !== middle[0]) return undefined
  return [kind, decodeURIComponent(segments[1]), decodeURIComponent(segments.at(-1))]
}

/** The token says what the server took the request for. */
function echo(path) {
  const names = readPath(path)
  if (names === undefined)
    return { chunks: [Buffer.from('HTTP/1.1 418 X\r\nContent-Length: 0\r\n\r\n')], end: 'keep' }
  const authorization = { status: 'active', access_token: digest(names) }
  return { chunks: [sized(JSON.stringify({ connection: { enabled: true }, authorization }))], end: 'keep' }
}

/** An owner with the `[kind, id]` that it names, or without where it names none. */
function ownerOf(random) {
  const id = textOrOther(random)
  const kind = random.pick(Object.keys(KINDS))
  if (random.oneIn(3)) return typeof id === 'string' ? { owner: id, named: ['user', id] } : { owner: id }
  if (random.oneIn(10)) {
    const second = random.pick([...Object.keys(KINDS).filter(name => name !== kind), 'team'])
    const secondId = text(random)
    const owner = { [kind]: id, [second]: secondId }
    // A kind that is undefined is one that is absent.
    return id === undefined && second !== 'team' ? { owner, named: [second, secondId] } : { owner }
  }
  return { owner: { [kind]: id }, named: [kind, id] }
}

function callOptionsOf(random) {
  if (!random.oneIn(3)) return { options: undefined, isPlain: true }
  if (random.oneIn(4)) return { options: other(random) }
  const options = {}
  if (random.oneIn(2)) options.timeoutMs = number(random)
  if (random.oneIn(3)) options.signal = random.oneIn(2) ? AbortSignal.abort('changed my mind') : other(random)
  if (random.oneIn(6)) options[random.pick(CLIENT_OPTIONS)] = number(random)
  return { options }
}

/** One call with hostile arguments. */
async function callCase(random, { baseUrl, keys, secrets, serve }) {
  let requests = 0
  serve(path => {
    requests++
    return echo(path)
  })
  const client = new XkitClient({ ...keys, baseUrl, timeoutMs: TIMEOUT_MS })
  const { owner, named } = ownerOf(random)
  const slug = textOrOther(random)
  const { options, isPlain } = callOptionsOf(random)
  const method = random.pick(['getAccessToken', 'getConnection'])

  const { value, error } = await settle(() => client[method](owner, slug, options), TIMEOUT_MS)

  const mustRefuse = named === undefined || isRefused(named[1]) || isRefused(slug)
  if (error === undefined) {
    ensure(!mustRefuse, 'took an owner or a slug that is to be refused')
    const got = typeof value === 'string' ? value : value.accessToken
    ensure(got === digest([...named, slug]), 'asked for another connection')
    ensure(requests === 1, `sent ${requests} requests`)
  } else if (isXkitError(error)) {
    checkFailure(error, secrets, 3)
    ensure(error.code === 'ERR_XKIT_TIMEOUT' && !isPlain, `rejected with ${error.code}`)
  } else if (error === 'changed my mind') {
    ensure(requests === 0, `sent ${requests} requests after an abort`)
  } else {
    const given = [owner, slug, named?.[1]].filter(value => typeof value === 'string' && value.length > 12)
    checkRefusal(error, [...secrets, ...given])
    ensure(requests === 0, `sent ${requests} requests for refused arguments`)
    ensure(mustRefuse || !isPlain, 'refused an owner and a slug that are fine')
  }
}

/** Hostile options for a client, which is not used: it could lead anywhere. */
function constructCase(random, { keys, secrets }) {
  const marker = 'marker-of-a-hostile-option'
  const options = { ...keys }
  for (const name of random.list(4, () => random.pick(CLIENT_OPTIONS))) {
    const value = random.pick([
      () => number(random),
      () => textOrOther(random),
      () =>
        `${random.pick(['https', 'http', 'ftp', 'socks5', ''])}://${text(random)}:${marker}@${text(random)}`,
      () => ({
        [random.pick(Object.keys(KINDS))]: random.oneIn(2) ? `/${text(random)}/{id}/{slug}` : other(random),
      }),
      () => `-----BEGIN CERTIFICATE-----\n${marker}${text(random)}\n-----END CERTIFICATE-----\n`,
    ])()
    Object.defineProperty(options, name, { value, enumerable: true, configurable: true, writable: true })
  }
  let error
  try {
    new XkitClient(random.oneIn(20) ? other(random) : options)
    return
  } catch (thrown) {
    error = thrown
  }
  if (isXkitError(error)) checkFailure(error, [...secrets, marker], 0)
  else checkRefusal(error, [...secrets, marker])
}

module.exports = { ARGUMENT_CASES: [callCase, callCase, constructCase] }
