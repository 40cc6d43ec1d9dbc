// Owns hostile arguments: ids and slugs made of what paths, hosts and encodings trip over, and values of wrong types.
'use strict'

const FRAGMENTS = [
  ...'/\\?#%:@;+&=,.~!$\'"()*<>[]{}|^`- aZ09_é\u0301ß中',
  ...['..', './', '../', '%2e', '%2E%2e', '%2f', '%5c', '%00', '%0a', '%', '%c0%ae', '//', '://', 'https:'],
  ...[
    'evil.example',
    '127.0.0.1',
    '[::1]',
    'u1@',
    '{id}',
    '{slug}',
    ':id',
    '$&',
    '$1',
    'connections',
    'groups',
  ],
  ...[
    '😀',
    '👩‍👧',
    '\u202e',
    'x\u200b',
    'x\ufeff',
    '\u00a0',
    '\u2028',
    '\u3000',
    '\u{10ffff}',
    'ﬁ',
    'İ',
    'constructor',
  ],
]
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
    value.replace(/[^\S\ufeff]/g, '') === '' ||
    value === '.' ||
    value === '..' ||
    /\p{Cc}/u.test(value) ||
    !value.isWellFormed() ||
    Buffer.byteLength(value) > 1024
  )
}

module.exports = { isRefused, number, other, text, textOrOther }
