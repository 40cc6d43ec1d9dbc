// What holds of every value that somebody could pass as options, whatever it is.

const fc = require('fast-check')
const { readCallOptions, readClientOptions } = require('../lib/options.js')

const MARKER = 'value-marker'
const CODES = ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE']
const NAMES = [
  ...['publishableKey', 'secretKey', 'baseUrl', 'allowHttp', 'catalogUrl', 'timeoutMs', 'attemptTimeoutMs'],
  ...[
    'connectTimeoutMs',
    'maxConnectionAgeMs',
    'maxRetries',
    'maxConcurrency',
    'paths',
    'cache',
    'proxy',
    'ca',
  ],
  ...['cert', 'key', 'hosts', 'user', 'group', 'redis', 'url', 'encryptionKey', 'ttlMs', 'signal', 'fresh'],
]

/** What makes objects that cannot be looked at, or that inherit what they seem to have. */
const hostile = fc.constantFrom(
  () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  },
  () => ({
    get baseUrl() {
      throw new Error(MARKER)
    },
  }),
  () =>
    new Proxy(
      {},
      {
        ownKeys() {
          throw new Error(MARKER)
        },
      },
    ),
  () => Object.create({ baseUrl: MARKER, unknown: MARKER }),
)

const anything = fc.anything({
  key: fc.oneof(fc.constantFrom(...NAMES), fc.string()),
  values: [
    fc.string().map(text => MARKER + text),
    fc.boolean(),
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.constantFrom(null, undefined, Symbol(MARKER), () => {}),
    fc.uint8Array(),
  ],
  withNullPrototype: true,
  withDate: true,
  withMap: true,
  withSparseArray: true,
  maxDepth: 3,
})

const outcomeOf = read => {
  try {
    return { value: read() }
  } catch (error) {
    return { error }
  }
}

function isTold({ error }) {
  expect(error).toMatchObject({ name: 'TypeError', code: expect.stringMatching(/^ERR_INVALID_ARG_/) })
  expect(CODES).toContain(error.code)
  expect(error.message).toMatch(/^options/)
  // The names of unknown fields are told, and no value.
  expect(error.message.split(' has an unknown field ')[0]).not.toContain(MARKER)
}

/** What the native side reads has no prototype, since it reads inherited fields too. */
function expectOwn(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof AbortSignal)
    return
  expect(Object.getPrototypeOf(value)).toBeNull()
  for (const field of Object.values(value)) expectOwn(field)
}

describe.each([
  ['a client', readClientOptions],
  ['a call', readCallOptions],
])('whatever is passed as options of %s', (_, read) => {
  test('is read or refused by a TypeError that repeats no value', () => {
    fc.assert(
      fc.property(anything, options => {
        if (options === undefined) return
        const outcome = outcomeOf(() => read(options))
        if ('error' in outcome) isTold(outcome)
        else expect(Object.getPrototypeOf(outcome.value)).toBeNull()
      }),
      { numRuns: 400 },
    )
  })

  test('may refuse to be looked at, as a whole or in a field', () => {
    fc.assert(
      // Made in the property, since fast-check itself looks at values.
      fc.property(hostile, fc.option(fc.constantFrom(...NAMES)), (make, name) => {
        const outcome = outcomeOf(() => read(name === null ? make() : { [name]: make() }))
        if ('error' in outcome) isTold(outcome)
        else expectOwn(outcome.value)
      }),
    )
  })
})

const milliseconds = fc.integer({ min: 1, max: 2 ** 31 - 1 })
const text = fc.string({ unit: 'grapheme', minLength: 1 })
const valid = fc.record(
  {
    publishableKey: text,
    secretKey: text,
    baseUrl: text,
    catalogUrl: text,
    allowHttp: fc.boolean(),
    timeoutMs: milliseconds,
    attemptTimeoutMs: milliseconds,
    connectTimeoutMs: milliseconds,
    maxConnectionAgeMs: milliseconds,
    maxRetries: fc.integer({ min: 0, max: 10 }),
    maxConcurrency: fc.integer({ min: 1, max: 10_000 }),
    cert: text,
    key: text,
  },
  { requiredKeys: [] },
)

test('what is valid reaches the native side as it was given, and nothing else does', () => {
  fc.assert(
    fc.property(valid, options => {
      const before = structuredClone(options)
      const native = readClientOptions(options)
      expectOwn(native)
      const { paths, variables, proxy, nodeRoots, ...fields } = native
      const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
      expect(given).toEqual(options)
      expect(options).toEqual(before)
      // Each of those that a variable stands in for was given, or comes from there.
      for (const name of ['publishableKey', 'secretKey', 'baseUrl', 'catalogUrl']) {
        expect(name in variables).toBe(!(name in options))
      }
      expect([proxy, nodeRoots, { ...paths }]).toEqual([undefined, undefined, {}])
    }),
  )
})

test('a field that is undefined is one that was not given', () => {
  fc.assert(
    fc.property(valid, fc.subarray(['timeoutMs', 'baseUrl', 'secretKey', 'maxRetries']), (options, names) => {
      const absent = { ...options }
      const unset = { ...options }
      for (const name of names) {
        delete absent[name]
        unset[name] = undefined
      }
      expect(readClientOptions(unset)).toEqual(readClientOptions(absent))
    }),
  )
})

test('a number that is no integer in its range is refused', () => {
  const numbers = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.constantFrom(Number.NaN, -0.5, Infinity, -1, 2 ** 31),
  )
  fc.assert(
    fc.property(fc.constantFrom('timeoutMs', 'maxRetries', 'maxConcurrency'), numbers, (name, number) => {
      const [least, most] = { timeoutMs: [1, 2 ** 31 - 1], maxRetries: [0, 10], maxConcurrency: [1, 10_000] }[
        name
      ]
      const outcome = outcomeOf(() => readClientOptions({ [name]: number }))
      const isValid = Number.isInteger(number) && number >= least && number <= most
      if (isValid) expect(outcome.value[name]).toBe(number)
      else expect(outcome.error?.code).toBe('ERR_INVALID_ARG_VALUE')
    }),
  )
})
