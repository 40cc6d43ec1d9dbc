// Owns the properties of the test for a rejected token, for everything that a service answers, or an SDK returns or throws.
'use strict'

const { Readable } = require('node:stream')
const fc = require('fast-check')
const { isRejectedBody, isRejection } = require('../lib/rejection/index.js')

const RUNS = { numRuns: 200 }
const NAMES = [
  ...[
    'status',
    'statusCode',
    'code',
    'errorCode',
    'type',
    'name',
    'message',
    'headers',
    'data',
    'body',
    'error',
  ],
  ...[
    'errors',
    'graphQLErrors',
    'extensions',
    'response',
    'res',
    'rawResponse',
    'output',
    'cause',
    'raw',
    'url',
  ],
  ...[
    'networkError',
    'details',
    'metadata',
    'ok',
    'error_description',
    'request',
    'config',
    'redirected',
    'result',
  ],
]
const TELLING = [
  ...[401, '401', 403, 400, 200, 16, 190, 'token_expired', 'Unauthorized', 'invalid_token', 'OAuthException'],
  ...['HTTP 401', 'The access token has expired', 'Invalid access token', 'missing_scope', true, false, null],
  '{"error":"invalid_token"}',
]

const entryWords = fc.record(
  {
    code: fc.constantFrom('invalid_token', 'UNAUTHENTICATED', 'token_expired', '401', 401),
    status: fc.constantFrom(401, '401', 403),
    message: fc.constantFrom('Invalid token', 'token_expired', 'The access token has expired'),
    extensions: fc.record({ code: fc.constantFrom('UNAUTHENTICATED', 'invalid_token') }),
  },
  { requiredKeys: [] },
)
/** The subject of an entry that is not about the request. */
const subject = fc.oneof(
  ...['row', 'id', 'index', 'url', 'device', 'deviceToken', 'email', 'user', 'sku'].map(name =>
    fc.record({ [name]: fc.oneof(fc.nat(), fc.string(), fc.webUrl()) }),
  ),
)
const partEntry = fc.tuple(subject, entryWords).map(([about, words]) => ({ ...words, ...about }))
const entries = entry => fc.array(entry, { minLength: 1, maxLength: 30 })
/** The result of the parts that did not fail. */
const outcome = fc.oneof(
  fc.record({ success: fc.constantFrom(true, 0, 98, ['a']) }),
  ...['created', 'imported', 'failed', 'results', 'items', 'checked', 'multicast_id'].map(name =>
    fc.record({ [name]: fc.oneof(fc.nat(), fc.boolean(), fc.array(fc.nat())) }),
  ),
)
const list = fc.constantFrom('errors', 'graphQLErrors')
const partialSuccess = fc.oneof(
  fc
    .tuple(outcome, list, entries(fc.oneof(partEntry, entryWords, fc.constant('invalid_token'))))
    .map(([rest, name, failed]) => ({ ...rest, [name]: failed })),
  fc.tuple(list, entries(partEntry)).map(([name, failed]) => ({ [name]: failed })),
  fc.tuple(list, entries(entryWords), fc.record({ a: fc.nat() })).map(([name, failed, data]) => ({
    data,
    [name]: failed,
  })),
  entries(fc.oneof(partEntry, entryWords)),
)

test('no success of which parts failed is a rejection', () => {
  fc.assert(
    fc.property(partialSuccess, body => {
      const text = JSON.stringify(body)
      const headers = { 'content-type': 'application/json' }
      expect(isRejectedBody(200, body)).toBe(false)
      const returned = [
        body,
        { status: 200, headers, data: body },
        { statusCode: 200, headers, body },
        { statusCode: 200, headers, body: text },
        { data: body, error: null, response: { status: 200, headers } },
      ]
      for (const value of returned) expect(isRejection(value, false)).toBe(false)
      const failure = fields => Object.assign(new Error('from an SDK'), fields)
      const thrown = [
        failure({ response: { status: 200, headers, data: body } }),
        failure({ statusCode: 200, body: text }),
        failure({ response: { status: 200, headers }, body }),
      ]
      for (const value of thrown) expect(isRejection(value, true)).toBe(false)
    }),
    RUNS,
  )
})

/** Objects as services and SDKs make them, of the fields that count and of any other. */
const { shape } = fc.letrec(tie => ({
  leaf: fc.oneof(fc.constantFrom(...TELLING), fc.string(), fc.integer(), fc.constant(undefined)),
  shape: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('shape'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('shape'), { maxKeys: 6 }),
    fc
      .dictionary(fc.constantFrom(...NAMES), tie('shape'), { maxKeys: 6 })
      .map(({ name, message, ...fields }) =>
        Object.assign(new Error(typeof message === 'string' ? message : ''), fields),
      ),
  ),
}))

const isObject = value => typeof value === 'object' && value !== null

/** The same with every object of it behind a proxy that counts, and that throws at the reads of `throwsAt`. */
function watched(value, throwsAt = () => false) {
  const seen = { reads: 0 }
  const wrap = held => {
    if (!isObject(held)) return held
    const touch = trap => (target, name, receiver) => {
      if (throwsAt(seen.reads++)) throw new Error('unreadable')
      return wrap(Reflect[trap](target, name, receiver))
    }
    return new Proxy(held, {
      get: (target, name) => touch('get')(target, name),
      has: touch('has'),
      ownKeys: touch('ownKeys'),
      getPrototypeOf: touch('getPrototypeOf'),
    })
  }
  return { value: wrap(value), seen }
}

test('reading never throws, whatever does', () => {
  fc.assert(
    fc.property(shape, fc.boolean(), fc.integer({ min: 1, max: 7 }), (value, isThrown, nth) => {
      const hostile = watched(value, count => count % nth === 0).value
      expect(typeof isRejection(hostile, isThrown)).toBe('boolean')
      for (const status of [200, 400, 403]) expect(typeof isRejectedBody(status, hostile)).toBe('boolean')
    }),
    RUNS,
  )
  fc.assert(
    fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withTypedArray: true }), value => {
      for (const isThrown of [true, false]) expect(typeof isRejection(value, isThrown)).toBe('boolean')
    }),
    RUNS,
  )
})

test('the verdict changes nothing, and is the same once more', () => {
  fc.assert(
    fc.property(shape, fc.boolean(), (value, isThrown) => {
      const before = JSON.stringify(value)
      const verdict = isRejection(value, isThrown)
      expect(isRejection(value, isThrown)).toBe(verdict)
      expect(JSON.stringify(value)).toBe(before)
      if (isObject(value)) expect(isRejection(Object.freeze(value), isThrown)).toBe(verdict)
    }),
    RUNS,
  )
})

const holders = fc.array(fc.constantFrom('body', 'data', 'response', 'error', 'cause', 'errors', 'raw'), {
  minLength: 1,
  maxLength: 4,
})

test('no stream is read, wherever it is', () => {
  const web = () =>
    new Response('{"error":"invalid_token"}', { headers: { 'content-type': 'application/json' } })
  fc.assert(
    fc.property(holders, fc.constantFrom(200, 400, 401, 403), fc.boolean(), (path, status, isThrown) => {
      const response = web()
      const stream = Readable.from(['{"error":"invalid_token"}'])
      for (const held of [response, response.body, stream]) {
        const value = path.reduceRight((inner, name) => ({ status, headers: {}, [name]: inner }), held)
        isRejection(value, isThrown)
      }
      expect([response.bodyUsed, response.body.locked]).toEqual([false, false])
      expect([stream.readableFlowing, stream.readableDidRead]).toEqual([null, false])
    }),
    RUNS,
  )
})

describe('reading is bounded', () => {
  const MAX_READS = 300_000

  /** Answers with itself to whatever is asked, or with many of itself. */
  const mirror = leaf => {
    const seen = { reads: 0 }
    const make = () =>
      new Proxy(
        {},
        {
          get(_target, name) {
            seen.reads++
            if (name === 'errors' || name === 'graphQLErrors') return Array.from({ length: 50 }, make)
            return typeof name === 'string' && !NAMES.slice(7).includes(name) ? leaf : make()
          },
        },
      )
    return { value: make(), seen }
  }

  test('where everything holds everything', () => {
    fc.assert(
      fc.property(fc.constantFrom(...TELLING, {}, 'x'.repeat(60_000)), fc.boolean(), (leaf, isThrown) => {
        const { value, seen } = mirror(leaf)
        isRejection(value, isThrown)
        expect(seen.reads).toBeLessThan(MAX_READS)
      }),
      { numRuns: 20 },
    )
  })

  test('for every shape, by far', () => {
    fc.assert(
      fc.property(shape, fc.boolean(), (value, isThrown) => {
        const { value: counted, seen } = watched(value)
        isRejection(counted, isThrown)
        expect(seen.reads).toBeLessThan(MAX_READS)
      }),
      RUNS,
    )
  })
})
