// Owns the proof that an error of this package is found inside whatever an SDK made of it.
'use strict'

const { once } = require('node:events')
const vm = require('node:vm')
const { Worker } = require('node:worker_threads')
const { ConnectionUnavailableError, XkitError, XkitNetworkError, isXkitError, xkitErrorOf } = require('..')

const connection = { status: 'not_enabled', connectUrl: 'https://acme.xkit.example/connectors/slack' }
const ours = new ConnectionUnavailableError({ message: 'no', code: 'ERR_XKIT_NOT_ENABLED' }, connection)
const wrapped = fields => Object.assign(new Error('from an SDK'), fields)

test.each([
  ['itself', ours],
  ['cause', new Error('wrapped', { cause: ours })],
  ['original', wrapped({ code: 'request_error', original: ours })],
  ['detail', wrapped({ type: 'ConnectionError', detail: ours })],
  ['errors[]', wrapped({ errors: [new Error('first'), ours] })],
  ['an AggregateError', new AggregateError([new Error('first'), new Error('second', { cause: ours })])],
  ['response', wrapped({ response: { status: 500, data: { error: ours } } })],
  ['error', { error: ours }],
  [
    'five layers',
    wrapped({ cause: wrapped({ detail: { errors: [wrapped({ original: { cause: ours } })] } }) }),
  ],
  ['a getter', Object.defineProperty(wrapped({}), 'cause', { get: () => ours })],
  [
    'an Error of another realm',
    vm.runInNewContext('ours => Object.assign(new Error(), { cause: ours })')(ours),
  ],
  ['a list', [undefined, ours]],
])('is found as %s', (_what, error) => {
  expect(xkitErrorOf(error)).toBe(ours)
})

test('is the outermost where there are several', () => {
  const inner = new XkitError({ message: 'inner', code: 'ERR_XKIT_INTERNAL' })
  const outer = new XkitNetworkError({ message: 'outer', code: 'ERR_XKIT_CONNECT', cause: inner })
  expect(xkitErrorOf(wrapped({ cause: { cause: inner }, detail: outer }))).toBe(outer)
})

test('is one of another copy of the package', () => {
  let copy
  jest.isolateModules(() => {
    copy = require('..')
  })
  expect(copy.XkitError).not.toBe(XkitError)
  const foreign = new copy.XkitError({ message: 'no', code: 'ERR_XKIT_CLOSED' })
  expect(xkitErrorOf(new Error('wrapped', { cause: foreign }))).toBe(foreign)
})

test('is one that came out of a worker', async () => {
  const entry = JSON.stringify(require.resolve('..'))
  const worker = new Worker(
    `const { XkitError } = require(${entry})
     throw new XkitError({ message: 'no', code: 'ERR_XKIT_CLOSED', attempts: 1 })`,
    { eval: true },
  )
  const [error] = await once(worker, 'error')
  expect(isXkitError(error)).toBe(true)
  expect(xkitErrorOf(wrapped({ cause: error }))).toBe(error)
})

const cycle = wrapped({})
Object.assign(cycle, { cause: cycle, errors: [cycle], response: { error: cycle } })
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
const { proxy: revokedList, revoke: revokeList } = Proxy.revocable([], {})
revoke()
revokeList()
const throwing = new Proxy(wrapped({}), {
  get() {
    throw new Error('no')
  },
})

test.each([
  ['nothing', undefined],
  ['null', null],
  ['text', 'ERR_XKIT_NOT_ENABLED'],
  ['an ordinary error', new Error('no')],
  ['what has the code alone', wrapped({ code: 'ERR_XKIT_NOT_ENABLED' })],
  ['what has the message alone', new Error(ours.message)],
  ['a cycle', cycle],
  ['a revoked proxy', revoked],
  ['what holds revoked proxies', wrapped({ cause: revoked, errors: revokedList })],
  ['a proxy that throws', throwing],
  ['what holds it', wrapped({ cause: throwing, response: { data: throwing } })],
  ['a function', () => ours],
  ['the request', wrapped({ config: { error: ours }, request: ours })],
])('is not found in %s', (_what, error) => {
  expect(xkitErrorOf(error)).toBeUndefined()
})

test('is looked for within bounds', () => {
  let reads = 0
  const endless = () =>
    new Proxy(
      {},
      {
        get: () => {
          reads++
          return endless()
        },
      },
    )
  expect(xkitErrorOf(endless())).toBeUndefined()
  expect(reads).toBeLessThan(20_000)
  expect(xkitErrorOf(wrapped({ errors: Array(1e6).fill({}) }))).toBeUndefined()
})

test('does not throw for what throws, and finds it beside that', () => {
  const error = wrapped({ response: throwing, errors: revokedList, original: ours })
  Object.defineProperty(error, 'cause', {
    get() {
      throw new Error('no')
    },
  })
  expect(xkitErrorOf(error)).toBe(ours)
})
