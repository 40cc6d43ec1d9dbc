// Owns hostile arguments: ids and slugs made of what paths, hosts and encodings trip over, and values of wrong types.
'use strict'

const { FRAGMENTS } = require('../support/fragments')

const FORBIDDEN = ['\n', '\r', '\t', '\0', '\u007f', '\u0085', '\ud800', '\udfff', 'y'.repeat(1100)]

const throwing = () => {
  throw new Error('touched')
}
const OTHERS = [
  ...[
    () => undefined,
    () => null,
    () => true,
    () => 5,
    () => Number.NaN,
    () => 5n,
    () => Symbol('s'),
    () => () => 's',
  ],
  ...[() => [], () => ['s'], () => ({}), () => new Date(0), () => new String('s'), () => Buffer.from('s')],
  () => ({ toString: throwing, valueOf: throwing, toJSON: throwing, [Symbol.toPrimitive]: throwing }),
  () => Object.create(null),
  () => new Proxy({}, {}),
  () => new Proxy({}, Object.fromEntries(Object.getOwnPropertyNames(Reflect).map(name => [name, throwing]))),
  () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  },
]
const NUMBERS = [
  0,
  -0,
  1,
  2,
  30,
  1000,
  1.5,
  -1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e308,
  Number.POSITIVE_INFINITY,
]

function text(random) {
  const fragments = random.list(8, () => random.pick(FRAGMENTS))
  if (random.oneIn(8)) fragments.splice(random.below(fragments.length + 1), 0, random.pick(FORBIDDEN))
  return fragments.join('')
}

const other = random => random.pick(OTHERS)()
const textOrOther = random => (random.oneIn(8) ? other(random) : text(random))
const number = random => (random.oneIn(3) ? other(random) : random.pick(NUMBERS))

/** The contract in one line each: what must be refused as an id or a slug. */
function isRefused(value) {
  return (
    typeof value !== 'string' ||
    value.trim() === '' ||
    value === '.' ||
    value === '..' ||
    /\p{Cc}/u.test(value) ||
    !value.isWellFormed() ||
    Buffer.byteLength(value) > 1024
  )
}

module.exports = { isRefused, number, other, text, textOrOther }
