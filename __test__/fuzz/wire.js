// Owns hostile answers: random bytes, mutations of the documented answers, random headers. Each plan comes with what
// its bytes may be taken for.
'use strict'

const { flat, nested } = require('../support/platform.js')
const { STATES, checkToken, ensure } = require('./checks.js')

const STATUSES = [
  ...[200, 200, 200, 200, 201, 204, 206, 299, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 404, 408],
  ...[409, 418, 425, 429, 451, 500, 501, 502, 503, 504, 505, 511, 520, 529, 599, 600, 999, 100, 101, 103],
]
const HEADER_NAMES = [
  ...['Content-Type', 'Content-Encoding', 'Content-Length', 'Content-Length', 'Transfer-Encoding'],
  ...[
    'Connection',
    'Keep-Alive',
    'Retry-After',
    'Retry-After',
    'Date',
    'X-Request-Id',
    'Location',
    'Upgrade',
  ],
  ...[
    'Set-Cookie',
    'Trailer',
    'Server',
    'Refresh',
    'Alt-Svc',
    'Link',
    'WWW-Authenticate',
    'Expect',
    '',
    'Ünï',
  ],
]
const HEADER_VALUES = [
  ...[
    '',
    '0',
    '1',
    '-1',
    '2',
    '99999999999999999999',
    '1e3',
    'chunked',
    'gzip, chunked',
    'identity',
    'gzip',
    'br',
  ],
  ...[
    'close',
    'keep-alive',
    'upgrade',
    'h2c',
    'Tue, 01 Jan 2019 00:00:00 GMT',
    'Fri, 31 Dec 9999 23:59:59 GMT',
  ],
  ...[
    'Tue, 99 Foo 2019 00:00:00 GMT',
    'http://evil.example/',
    '//evil.example',
    'a=b; Path=/',
    'x'.repeat(9000),
  ],
]
const TOKEN_NAMES = ['access_token', 'credential', 'access_credential']
const NAMES = [...TOKEN_NAMES, 'enabled', 'status', 'error', 'x', '__proto__']

/** One response, as the platform documents it, unless `random` has it otherwise. */
function message({ status = 200, headers = [], body }) {
  const lines = [`HTTP/1.1 ${status} OK`, 'Content-Type: application/json', ...headers]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)])
}

const sized = body => message({ headers: [`Content-Length: ${Buffer.byteLength(body)}`], body })

function documented(random, token) {
  const shape = random.pick([flat, nested])
  const field = random.pick(TOKEN_NAMES)
  return shape({ authorization: { access_token: undefined, [field]: token } })
}

function anything(random, depth = 0) {
  const kind = random.below(depth < 3 ? 9 : 7)
  if (kind < 2) return random.pick([null, true, false, 0, -1, 1e308, 2 ** 53, 0.1])
  if (kind < 4)
    return random.pick(['', ' ', 'active', 'error', 'awaiting_callback', 'tok\n', '\u007f', '\ud800'])
  if (kind === 4) return random.bytes(20).toString('latin1')
  if (kind < 7) return String.fromCodePoint(...random.list(8, () => random.below(0xd800)))
  if (kind === 7) return random.list(4, () => anything(random, depth + 1))
  return Object.fromEntries(random.list(4, () => [random.pick(NAMES), anything(random, depth + 1)]))
}

/** Every place in a value: what holds it, and under which name. */
function* places(value) {
  if (typeof value !== 'object' || value === null) return
  for (const name of Object.keys(value)) {
    yield [value, name]
    yield* places(value[name])
  }
}

function mutate(random, value) {
  const [holder, name] = random.pick([...places(value)]) ?? []
  if (holder === undefined) return
  const change = random.below(5)
  if (change === 0) delete holder[name]
  else if (change === 1) holder[name] = [holder[name]]
  // Not to any name: a platform that calls a token a status has it shown.
  else if (change === 2) holder[random.pick([...TOKEN_NAMES, 'error', 'x'])] = holder[name]
  else holder[name] = anything(random)
}

/** Some bytes changed, lost, doubled or put in. */
function havoc(random, bytes) {
  let changed = Buffer.from(bytes)
  for (let change = random.below(6); change >= 0 && changed.length > 0; change--) {
    const at = random.below(changed.length)
    const length = random.below(random.pick([2, 8, 60]))
    const [before, after] = [changed.subarray(0, at), changed.subarray(at + length)]
    const between = random.pick([
      () => random.bytes(length),
      () => Buffer.alloc(0),
      () => Buffer.concat([changed.subarray(at, at + length), changed.subarray(at, at + length)]),
      () =>
        Buffer.from(
          random.pick(['\r\n', '\r\n\r\n', '\0', '"', '\\', '{', '}', ',', ':', ' ', '\xff']),
          'latin1',
        ),
    ])()
    changed = Buffer.concat([before, between, after])
  }
  return changed
}

const ENDS = ['keep', 'keep', 'close', 'close', 'close', 'reset']

function plan(random, bytes, end = random.oneIn(100) ? 'hang' : random.pick(ENDS)) {
  return { chunks: random.split(bytes), end }
}

/** Random bytes after the beginning of a success, or a whole answer with some of its bytes changed. */
function bytesCase(random, token) {
  const whole = sized(JSON.stringify(documented(random, token)))
  const bytes = random.pick([
    () => Buffer.concat([Buffer.from('HTTP/1.1 200 OK'), random.bytes(2000)]),
    () => Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n'), random.bytes(500), Buffer.from('\r\n\r\n')]),
    () => Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), random.bytes(3000)]),
    () => havoc(random, whole),
    () => havoc(random, whole),
    () => whole.subarray(0, random.below(whole.length)),
  ])()
  const sent = bytes.toString('utf8').replaceAll('\\/', '/')
  return {
    // Nothing that ends by itself: a server that stays silent is one that hangs.
    plan: plan(random, bytes, random.oneIn(60) ? 'hang' : random.pick(['close', 'reset'])),
    checkToken(got) {
      checkToken(got)
      const written = JSON.stringify(got).slice(1, -1)
      ensure(sent.includes(got) || sent.includes(written), 'resolved with a token that nobody sent')
    },
    checkState() {},
  }
}

/** A documented answer with some of its values, or of its bytes, changed; the framing is right. */
function answersCase(random, token) {
  const value = documented(random, token)
  const mutations = random.below(5)
  for (let count = 0; count < mutations; count++) mutate(random, value)
  const text = Buffer.from(JSON.stringify(value))
  const isWhole = mutations === 0
  const body = isWhole || random.below(3) ? text : havoc(random, text)
  const status = isWhole || random.below(8) ? 200 : random.pick([404, 201, 299])
  const end = random.oneIn(2) ? 'keep' : 'close'
  const bytes = message({ status, headers: [`Content-Length: ${body.length}`], body })
  return {
    plan: plan(random, bytes, end),
    mustBe: isWhole ? token : undefined,
    checkToken: got => checkGrant(body, got),
    checkState: state => checkState(status, body, state),
  }
}

/** A right answer behind a wrong head. */
function headersCase(random, token) {
  const body = JSON.stringify(documented(random, token))
  const status = random.pick(STATUSES)
  const headers = random.list(6, () => {
    const value = random.oneIn(4) ? random.bytes(60).toString('latin1') : random.pick(HEADER_VALUES)
    return `${random.pick(HEADER_NAMES)}${random.pick([': ', ': ', ': ', ':', ' : ', ''])}${value}`
  })
  if (!random.oneIn(4)) headers.push(`Content-Length: ${Buffer.byteLength(body)}`)
  if (random.oneIn(50))
    headers.push(...Array.from({ length: 300 }, (_, index) => `X-Many-${index}: ${index}`))
  return {
    plan: plan(random, message({ status, headers, body }), random.oneIn(60) ? 'hang' : 'close'),
    checkToken: got => ensure(got === token, 'resolved with another token'),
    checkState: state => checkState(status, Buffer.from(body), state),
  }
}

/** What a body says, or undefined where it is no JSON. */
function read(body) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return undefined
  }
}

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value)

function checkGrant(body, got) {
  checkToken(got)
  const said = read(body)
  ensure(isObject(said) && isObject(said.connection), 'resolved with a token though there was no answer')
  const authorization = said.authorization ?? said.connection.authorization
  ensure(said.connection.enabled === true, 'resolved with the token of a connection that is not enabled')
  ensure(authorization?.status === 'active', 'resolved with the token of an authorization that is not active')
  const tokens = TOKEN_NAMES.map(name => authorization[name])
  ensure(tokens.includes(got), 'resolved with a token that the answer does not hold')
}

/** An unavailable state is something that the platform has said. */
function checkState(status, body, state) {
  ensure(STATES.includes(state), `is in the state ${state}`)
  const said = read(body)
  ensure(isObject(said), `is ${state} though there was no answer`)
  ensure((status === 404) === (state === 'not_provisioned'), `is ${state} after a ${status}`)
  if (status === 404) return
  ensure(status >= 200 && status < 300, `is ${state} after a ${status}`)
  ensure(
    said.connection?.enabled === (state !== 'not_enabled'),
    `is ${state} by an answer that does not say so`,
  )
}

module.exports = { WIRE_CASES: [bytesCase, answersCase, headersCase], isObject, sized }
