const util = require('node:util')

// Shorter ones would occur by chance.
const SHORTEST_SECRET = 8

/** The secret as it is, and as a header, a URL or a dump would carry it. */
function formsOf(secret) {
  if (secret.length < SHORTEST_SECRET) throw new Error(`too short to search for: ${secret.length} characters`)
  const bytes = Buffer.from(secret)
  return [
    secret,
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    encodeURIComponent(secret.toWellFormed()),
  ]
}

/** Own properties without running a getter: a log that runs none must be safe, and one that runs all has asked. */
function* properties(value, path, seen) {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return
  seen.add(value)
  for (const key of Reflect.ownKeys(value)) {
    const at = `${path}.${String(key)}`
    const { value: held } = Reflect.getOwnPropertyDescriptor(value, key)
    yield [`name of ${at}`, String(key)]
    if (typeof held === 'string') yield [at, held]
    else yield* properties(held, at, seen)
  }
}

/** Every way in which a log could write a value, as `[way, text]`. */
function* renderings(value) {
  yield ['String()', String(value)]
  yield ['template', `${value}`]
  yield ['JSON.stringify', JSON.stringify(value) ?? '']
  yield ['JSON.stringify of a holder', JSON.stringify({ value, list: [value] })]
  for (const format of ['%s', '%o', '%O', '%j']) yield [`format ${format}`, util.format(format, value)]
  for (const showHidden of [false, true]) {
    for (const depth of [0, 2, Number.POSITIVE_INFINITY]) {
      const options = { showHidden, depth, maxStringLength: null, maxArrayLength: null }
      yield [`inspect ${JSON.stringify(options)}`, util.inspect(value, options)]
      yield [`inspect of a holder ${JSON.stringify(options)}`, util.inspect({ value }, options)]
    }
  }
  yield* properties(value, 'it', new Set())

  let link = value
  for (let depth = 0; typeof link === 'object' && link !== null && depth < 10; depth++) {
    yield [`message at depth ${depth}`, String(link.message)]
    yield [`stack at depth ${depth}`, String(link.stack)]
    yield [`toString at depth ${depth}`, String(link)]
    link = link.cause
  }
}

/** The ways in which one of `secrets`, in any form, shows in `value`. */
function leaks(value, secrets) {
  const forms = new Set(secrets.flatMap(formsOf))
  const found = []
  for (const [way, text] of renderings(value)) {
    for (const form of forms) if (text.includes(form)) found.push(`${way} shows ${form}`)
  }
  return found
}

function expectNoSecrets(value, secrets) {
  expect(leaks(value, secrets)).toEqual([])
}

module.exports = { expectNoSecrets, formsOf, leaks, renderings }
