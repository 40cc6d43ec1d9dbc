const { createHash } = require('node:crypto')
const net = require('node:net')

const { XkitClient, getAccessToken, getGroupAccessToken } = require('..')
const {
  ACCESS_TOKEN,
  AUTHORIZATION,
  KEY_PAIR,
  PUBLISHABLE_KEY,
  SECRET_KEY,
  failureOf,
  flat,
  json,
  startPlatform,
} = require('./support/platform')
const { requireId } = require('../lib/checks.js')
const { FRAGMENTS } = require('./support/fragments')
const { closeRigs, listen } = require('./support/rigs')
const { expectNoSecrets } = require('./support/secrets')

const KINDS = { user: 'connections', group: 'groups', context: 'contexts' }
const INVALID_VALUE = 'ERR_INVALID_ARG_VALUE'
const INVALID_TYPE = 'ERR_INVALID_ARG_TYPE'

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
beforeEach(() => platform.replyWith(json(200, flat())))
afterEach(closeRigs)
afterAll(() => platform.close())

/** What `call` rejects with. A synchronous throw, or anything that is no promise, is the test's failure. */
function rejectionOf(call) {
  let promise
  try {
    promise = call()
  } catch {
    throw new Error('threw synchronously, where a rejection is due')
  }
  if (!(promise instanceof Promise)) throw new Error(`returned ${typeof promise}, where a promise is due`)
  return failureOf(promise)
}

function thrownBy(work) {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** What the constructor throws, given otherwise valid options. */
const constructionError = options => thrownBy(() => platform.client(options))

function expectTypeError(error, code, name) {
  expect(error).toBeInstanceOf(TypeError)
  expect(error).toMatchObject({ code, message: expect.stringMatching(name) })
}

// What is not a string, and does its best to hurt whoever looks. In functions, so that no test title looks.
const throwing = () => {
  throw new Error('touched')
}
const notStrings = [
  ['undefined', () => undefined, /undefined/],
  ['null', () => null, /null/],
  ['a number', () => 81549, /number/],
  ['NaN', () => Number.NaN, /number|NaN/],
  ['a bigint', () => 81549n, /bigint/],
  ['a boolean', () => true, /boolean/],
  ['a symbol', () => Symbol('value-marker'), /symbol/],
  ['a function', () => () => 'value-marker', /function/],
  ['a list', () => ['value-marker'], /array|object/i],
]
const hostileObjects = [
  ['a boxed string', () => new String('value-marker')],
  ['an object with a throwing toString', () => ({ toString: throwing, valueOf: throwing })],
  ['an object with a throwing toPrimitive', () => ({ [Symbol.toPrimitive]: throwing })],
  ['an object with a throwing toJSON', () => ({ toJSON: throwing, inspect: throwing })],
  ['an object with a throwing tag', () => Object.defineProperty({}, Symbol.toStringTag, { get: throwing })],
  [
    'an object with a throwing constructor',
    () => Object.defineProperty({}, 'constructor', { get: throwing }),
  ],
  ['an object without a prototype', () => Object.create(null)],
  ['a date', () => new Date(0)],
  ['a Proxy', () => new Proxy({}, {})],
  ['a Proxy of a string', () => new Proxy(new String('value-marker'), {})],
  [
    'a Proxy with throwing traps',
    () => {
      const traps = Object.getOwnPropertyNames(Reflect).map(name => [name, throwing])
      return new Proxy({}, Object.fromEntries(traps))
    },
  ],
  [
    'a revoked Proxy',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    },
  ],
]

/** Every way to hand over an id or a slug, with the name that an error has to give to it. */
const parameters = [
  ['getAccessToken, owner', (client, id) => client.getAccessToken(id, 'slack'), /owner|user/i],
  ['getConnection, owner', (client, id) => client.getConnection(id, 'slack'), /owner|user/i],
  ['getAccessToken, owner.user', (client, id) => client.getAccessToken({ user: id }, 'slack'), /owner|user/],
  [
    'getAccessToken, owner.group',
    (client, id) => client.getAccessToken({ group: id }, 'slack'),
    /owner|group/,
  ],
  [
    'getAccessToken, owner.context',
    (client, id) => client.getAccessToken({ context: id }, 'slack'),
    /owner|context/,
  ],
  ['getGroupAccessToken, groupId', (client, id) => client.getGroupAccessToken(id, 'slack'), /group/i],
  ['getAccessToken, slug', (client, slug) => client.getAccessToken('u1', slug), /slug/],
  ['getConnection, slug', (client, slug) => client.getConnection('u1', slug), /slug/],
  ['getGroupAccessToken, slug', (client, slug) => client.getGroupAccessToken('acme', slug), /slug/],
]

const ids = parameters.filter(([title]) => !title.endsWith('slug'))
const invalidating = [
  ['invalidate, owner', async (client, id) => client.invalidate(id, 'slack'), /owner/],
  ['withAccessToken, owner', (client, id) => client.withAccessToken(id, 'slack', () => {}), /owner/],
]

test.each([...ids, ...invalidating])(
  '%s: a number is told to be passed as a string',
  async (_title, call, name) => {
    for (const id of [81549, 81549n]) {
      const error = await failureOf(call(platform.client(), id))
      expectTypeError(error, 'ERR_INVALID_ARG_TYPE', name)
      expect(error.message).toMatch(/: pass String\(id\)$/)
      expect(error.message).not.toContain('81549')
    }
  },
)

describe.each(parameters)('%s:', (title, call, name) => {
  const isOwner = title.endsWith(', owner')
  // A kind that is undefined is a kind that is absent: that is for the owner objects below.
  const wrongTypes = notStrings.filter(([what]) => !title.includes('owner.') || what !== 'undefined')

  test.each([
    ['nothing', ''],
    ['a space', ' '],
    ['blanks', ' \u00a0\u3000'],
    ['a byte order mark', '\ufeff'],
    ['a dot', '.'],
    ['two dots', '..'],
    ['a newline at the end', 'value-marker\n'],
    ['a carriage return', 'value-marker\r\nX-Header: 1'],
    ['a tab', 'value-marker\t'],
    ['a NUL', 'value-marker\0'],
    ['an escape', '\u001bvalue-marker'],
    ['a DEL', 'value-marker\u007f'],
    ['a C1 control', 'value-marker\u0085'],
    ['a lone high surrogate', 'value-marker\ud800'],
    ['a lone low surrogate', '\udc00value-marker'],
    ['surrogates in the wrong order', 'value-marker\udc00\ud800'],
    ['1,025 bytes', 'value-marker'.padEnd(1025, 'x')],
    ['1,025 bytes in fewer characters', `value-marker${'é'.repeat(506)}x`],
    ['a million characters', 'value-marker'.repeat(100_000)],
  ])('%s is refused before anything is sent', async (_, value) => {
    const error = await rejectionOf(() => call(platform.client(), value))

    expectTypeError(error, INVALID_VALUE, name)
    expectNoSecrets(error, ['value-marker'])
    expect(platform.requests).toHaveLength(0)
  })

  test.each(wrongTypes)('%s is refused by its type', async (_, value, type) => {
    const error = await rejectionOf(() => call(platform.client(), value()))

    expectTypeError(error, INVALID_TYPE, name)
    expect(error.message).toMatch(type)
    expect(error.message).not.toMatch(/81549|value-marker/)
    expect(platform.requests).toHaveLength(0)
  })

  test.each(hostileObjects)('%s is refused untouched', async (_, value) => {
    const error = await rejectionOf(() => call(platform.client(), value()))

    // An object may be an owner, so one without a known kind is a wrong value as much as a wrong type.
    expectTypeError(
      error,
      isOwner ? expect.stringMatching(/^ERR_INVALID_ARG_(TYPE|VALUE)$/) : INVALID_TYPE,
      name,
    )
    expect(error.message).not.toMatch(/touched|value-marker/)
    expect(platform.requests).toHaveLength(0)
  })
})

describe('an owner object', () => {
  test.each([
    ['names no kind', {}],
    ['leaves its kind undefined', { user: undefined }],
    ['names two kinds', { user: 'u1', group: 'acme' }],
    ['names all kinds', { user: 'u1', group: 'acme', context: 'c1' }],
    ['names an unknown kind', { team: 'acme' }],
    ['names an unknown kind besides a known one', { user: 'u1', team: 'acme' }],
    ['names a kind in capitals', { User: 'u1' }],
    ['inherits its kind', Object.create({ user: 'u1' })],
    [
      'inherits its kind from a class',
      new (class {
        get user() {
          return 'u1'
        }
      })(),
    ],
  ])('that %s is refused', async (_, owner) => {
    const error = await rejectionOf(() => platform.client().getAccessToken(owner, 'slack'))

    expectTypeError(error, INVALID_VALUE, /owner/)
    expect(platform.requests).toHaveLength(0)
  })

  test('that throws when it is read is a rejection', async () => {
    const owner = Object.defineProperty({}, 'user', { enumerable: true, get: throwing })

    await rejectionOf(() => platform.client().getAccessToken(owner, 'slack'))

    expect(platform.requests).toHaveLength(0)
  })

  test('may have no prototype', async () => {
    const owner = Object.assign(Object.create(null), { group: 'acme' })

    await expect(platform.client().getAccessToken(owner, 'slack')).resolves.toBe(ACCESS_TOKEN)
    expect(platform.paths).toEqual(['/groups/acme/connections/slack'])
  })
})

describe('an id', () => {
  test.each([
    ['1,024 bytes', 'x'.repeat(1024)],
    ['1,024 bytes in fewer characters', 'é'.repeat(512)],
    ['three dots', '...'],
    ['a dot file', '.env'],
    ['dots already encoded', '%2e%2e'],
    ['a dot already encoded', '%2E'],
    ['a slash already encoded', '%2f'],
    ['a percent sign alone', '%'],
    ['a percent sign and no hex', '%zz'],
    ['steps upwards', '../../admin'],
    ['steps upwards, the other way', '..\\..\\admin'],
    ['another host', '//evil.example/'],
    ['a URL', 'https://evil.example/?a=b#c'],
    ['user info', 'user:password@evil.example'],
    ['a query', '?admin=true'],
    ['a fragment', '#top'],
    ['a path parameter', 'u1;admin=true'],
    ['a plus, which is no space', 'a+b c'],
    ['spaces at both ends', ' u1 '],
    ['an e-mail address', 'owner@acme.example'],
    ['a composed letter', 'caf\u00e9'],
    ['a decomposed letter', 'cafe\u0301'],
    ['an emoji of many code points', '👩‍👩‍👧‍👦'],
    ['writing from right to left', '\u202eשלום'],
    ['marks of no width', 'a\u200bb\u2060c\ufeffd'],
    ['line separators of Unicode', 'a\u2028b\u2029c'],
    ['a private code point and the last one', '\ue000\u{10ffff}'],
    [
      'every printable character of ASCII',
      String.fromCharCode(...Array.from({ length: 94 }, (_, i) => i + 33)),
    ],
  ])('with %s is one path segment that decodes to exactly the id', async (_, id) => {
    const client = platform.client()

    await client.getAccessToken(id, id)
    await client.getGroupAccessToken(id, id)

    const [user, group] = platform.requests.map(({ url }) => url.split('/').map(decodeURIComponent))
    expect(user).toEqual(['', 'api', 'platform', 'connections', id, id])
    expect(group).toEqual(['', 'api', 'platform', 'groups', id, 'connections', id])
    expect(platform.requests.map(({ headers }) => headers.host)).toEqual([platform.host, platform.host])
  })

  test('is told apart from every other, whatever its kind', async () => {
    platform.replyWith(({ url }) => json(200, flat({ authorization: { access_token: `of ${url}` } })))
    const client = platform.client()
    const pairs = [
      ['1', 'slack'],
      [{ group: '1' }, 'slack'],
      [{ context: '1' }, 'slack'],
      ['a:b', 'c'],
      ['a', 'b:c'],
      ['a/b', 'c'],
      ['a', 'b/c'],
      ['a%2Fb', 'c'],
      ['A', 'b:c'],
      ['caf\u00e9', 'slack'],
      ['cafe\u0301', 'slack'],
    ]

    const tokens = await Promise.all(pairs.map(([owner, slug]) => client.getAccessToken(owner, slug)))

    expect(new Set(tokens).size).toBe(pairs.length)
    expect(platform.requests).toHaveLength(pairs.length)
  })
})

describe('generated ids and slugs', () => {
  const PAIRS = 3000
  // What makes an id invalid or long: rare enough that most ids are to be sent.
  const RARE = [
    '\n',
    '\r',
    '\t',
    '\0',
    '\u007f',
    '\u0085',
    '\ud800',
    '\udfff',
    'y'.repeat(400),
    '界'.repeat(200),
  ]
  const ALL = [...FRAGMENTS, ...RARE]

  /** Numbers below `n`, the same ones in each run. */
  function generator(seed) {
    let state = seed
    return n => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * n)
    }
  }

  function hostileString(below) {
    const fragments = Array.from(
      { length: 1 + below(8) },
      () => ALL[below(below(8) ? FRAGMENTS.length : ALL.length)],
    )
    return fragments.join('')
  }

  /** The contract in one line each: what must be refused. */
  function isRefused(text) {
    return (
      text.trim() === '' ||
      text === '.' ||
      text === '..' ||
      /\p{Cc}/u.test(text) ||
      !text.isWellFormed() ||
      Buffer.byteLength(text) > 1024
    )
  }

  const digest = (...names) => createHash('sha256').update(JSON.stringify(names)).digest('hex')

  /** Kind, id and slug as a server reads them, or undefined for a path of another shape. */
  function read(url) {
    if (!/^\/[\x21-\x7e]+$/.test(url) || /[?#\\]/.test(url)) return undefined
    const [root, api, version, ...rest] = url.split('/')
    if (root !== '' || api !== 'api' || version !== 'platform') return undefined
    const kind = Object.keys(KINDS).find(name => KINDS[name] === rest[0])
    if (rest.length !== (kind === 'user' ? 3 : 4) || (kind !== 'user' && rest[2] !== 'connections'))
      return undefined
    return [kind, decodeURIComponent(rest[1]), decodeURIComponent(rest.at(-1))]
  }

  test(`never change the path, the host or the answer (${PAIRS} pairs)`, async () => {
    const below = generator(20_240_229)
    const pairs = Array.from({ length: PAIRS }, (_, i) => ({
      kind: Object.keys(KINDS)[i % 3],
      id: hostileString(below),
      slug: hostileString(below),
    }))
    const refused = pairs.filter(({ id, slug }) => isRefused(id) || isRefused(slug))
    const sent = pairs.filter(pair => !refused.includes(pair))
    // What each of the two halves proves depends on its size.
    expect(sent.length).toBeGreaterThan(2000)
    expect(refused.length).toBeGreaterThan(300)

    // The token says what the server took the request for.
    platform.replyWith(({ url }) => {
      const names = read(url)
      if (names === undefined) return json(400, {})
      return json(200, flat({ authorization: { access_token: digest(...names) } }))
    })
    const client = platform.client()
    const ask = ({ kind, id, slug }) => client.getAccessToken({ [kind]: id }, slug)

    const errors = await Promise.all(refused.map(pair => rejectionOf(() => ask(pair))))
    expect(errors.filter(({ code }) => code !== INVALID_VALUE)).toEqual([])
    expect(platform.requests).toHaveLength(0)

    const tokens = await Promise.all(sent.map(pair => ask(pair).catch(error => error.code)))
    const wrong = sent.filter(({ kind, id, slug }, i) => tokens[i] !== digest(kind, id, slug))
    expect(wrong).toEqual([])
    expect(platform.requests.filter(({ headers }) => headers.host !== platform.host)).toEqual([])
    expect(platform.requests).toHaveLength(sent.length)
  })
})

describe('invalidate', () => {
  const notTokens = [...notStrings.filter(([what]) => what !== 'undefined'), ...hostileObjects]
  test.each(notTokens)('throws for a rejected token that is %s', (_, rejectedToken) => {
    const error = thrownBy(() => platform.client().invalidate('u1', 'slack', rejectedToken()))

    expectTypeError(error, INVALID_TYPE, /^rejectedToken /)
    expect(error.message).not.toMatch(/81549|value-marker/)
  })

  test('throws for a rejected token that UTF-8 cannot hold', () => {
    const error = thrownBy(() => platform.client().invalidate('u1', 'slack', 'value-marker\ud800'))

    expectTypeError(error, INVALID_VALUE, /^rejectedToken /)
    expect(error.message).not.toContain('value-marker')
  })
})

describe('connectorUrl', () => {
  test('throws for what is no slug', () => {
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })
    const refusal = expect.objectContaining({ name: 'TypeError', code: INVALID_VALUE })

    for (const slug of ['', ' ', '.', '..', 'a\n', '\ud800', 'x'.repeat(1025)]) {
      expect(() => client.connectorUrl(slug)).toThrow(refusal)
    }
  })

  test.each([...notStrings, ...hostileObjects])('throws for %s', (_, slug) => {
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })

    expectTypeError(
      thrownBy(() => client.connectorUrl(slug())),
      INVALID_TYPE,
      /^slug /,
    )
  })
})

// Range and default of each option that is a number.
const NUMBERS = [
  ['timeoutMs', 1, 2_147_483_647],
  ['attemptTimeoutMs', 1, 2_147_483_647],
  ['connectTimeoutMs', 1, 2_147_483_647],
  ['maxConnectionAgeMs', 1, 2_147_483_647],
  ['maxRetries', 0, 10],
  ['maxConcurrency', 1, 10_000],
]
const notNumbers = ['5', '', null, true, {}, [5], 5n, Symbol('five'), () => 5]

describe.each(NUMBERS)('the option %s', (name, least, most) => {
  test(`is a whole number from ${least} to ${most}`, () => {
    for (const value of [least, most]) expect(() => platform.client({ [name]: value })).not.toThrow()
    for (const value of [Number.NaN, Infinity, -Infinity, -1, 1.5, least - 1, most + 1, 2 ** 53, 1e308]) {
      expectTypeError(constructionError({ [name]: value }), INVALID_VALUE, name)
    }
  })

  test('is nothing but a number', () => {
    for (const value of notNumbers) expectTypeError(constructionError({ [name]: value }), INVALID_TYPE, name)
  })
})

describe('the constructor', () => {
  const CERTIFICATE_GARBAGE = '-----BEGIN CERTIFICATE-----\nvalue-marker\n-----END CERTIFICATE-----\n'

  test.each([
    ['publishableKey', [5, true, {}, ['pk'], null, Symbol('pk'), Buffer.from('pk')]],
    ['secretKey', [5, true, {}, ['sk'], null, Symbol('sk'), Buffer.from('sk')]],
    ['baseUrl', [5, true, {}, ['https://a.example'], null, Symbol('a')]],
    ['allowHttp', [0, 1, 'true', '', {}, [], null, Symbol('a')]],
    ['catalogUrl', [5, true, {}, ['https://a.example'], null, Symbol('a')]],
    ['paths', [5, true, 'x', null, Symbol('a'), () => ({})]],
    ['proxy', [5, true, {}, ['http://a.example'], null, Symbol('a')]],
    ['ca', [5, true, {}, null, Symbol('a'), [5], [null], ['', {}], new Uint16Array(4)]],
  ])('refuses a wrong type for %s', (name, values) => {
    for (const value of values) expectTypeError(constructionError({ [name]: value }), INVALID_TYPE, name)
  })

  test.each([
    ['', 'value-marker', '//value-marker.example', '/value-marker', 'http://'],
    ['http://value-marker.example', 'http://10.0.0.1', 'http://localhost.value-marker.example'],
    ['http://127.0.0.1.value-marker.example', 'http://localhost@value-marker.example', 'http://[::2]'],
    [
      'https://value-marker@a.example',
      'https://user:value-marker@a.example',
      'http://:value-marker@127.0.0.1',
    ],
    ['https://a.example/?value-marker=1', 'https://a.example/#value-marker'],
    ['ftp://value-marker.example', 'file:///value-marker', 'javascript:value-marker', 'data:,value-marker'],
    ['ws://127.0.0.1/value-marker', 'unix:/value-marker'],
  ])('refuses a base URL such as %j', (...values) => {
    for (const baseUrl of values) {
      const error = constructionError({ baseUrl })
      expectTypeError(error, INVALID_VALUE, /baseUrl/)
      expect(error.message).not.toContain('value-marker')
    }
  })

  test('takes https everywhere and http on loopback', () => {
    for (const baseUrl of [
      'https://platform.example',
      'https://platform.example:8443/api/',
      'http://127.0.0.1:1',
      'http://localhost:1/api',
      'http://[::1]:1',
    ]) {
      expect(() => platform.client({ baseUrl })).not.toThrow()
    }
  })

  test('takes the name of a host in any script, as URLs do', async () => {
    const wide = 'ｌｏｃａｌｈｏｓｔ'
    const client = platform.client({ baseUrl: platform.baseUrl.replace('127.0.0.1', wide) })
    await expect(client.getAccessToken('u1', 'slack')).resolves.toEqual(expect.any(String))

    const unknown = platform.client({ baseUrl: 'https://bücher.invalid:8443', maxRetries: 0 })
    const { message } = await failureOf(unknown.getAccessToken('u1', 'slack'))
    expect(message).toContain('https://xn--bcher-kva.invalid:8443')
    expect(() =>
      platform.client({ baseUrl: 'https://a.example', proxy: 'http://u:p@bücher.example:1' }),
    ).not.toThrow()
    const catalog = platform.client({ catalogUrl: 'https://bücher.example/c/{slug}' })
    expect(catalog.connectorUrl('slack')).toBe('https://xn--bcher-kva.example/c/slack')
    for (const baseUrl of ['https://\ufffd.example', 'ü']) {
      expectTypeError(constructionError({ baseUrl }), INVALID_VALUE, /baseUrl/)
    }
  })

  test('takes the name of a Redis in any script too', async () => {
    const redis = await listen(net.createServer(socket => socket.end()))
    const url = `redis://ｌｏｃａｌｈｏｓｔ:${redis.port}`
    const client = platform.client({ cache: { redis: url, encryptionKey: 'k'.repeat(32) } })

    await client.getAccessToken('u1', 'slack')

    expect(redis.connections.count).toBeGreaterThan(0)
    await client.close()
  })

  test('takes http everywhere with allowHttp, and nothing else that it refuses', () => {
    const inside = ['http://emulator:4010', 'http://10.0.0.1/api', 'http://platform.mesh.example']
    for (const baseUrl of inside) {
      expect(() => platform.client({ baseUrl, allowHttp: true })).not.toThrow()
      for (const allowHttp of [false, undefined]) {
        const error = constructionError({ baseUrl, allowHttp })
        expectTypeError(error, INVALID_VALUE, /baseUrl must .*allowHttp/)
      }
    }
    for (const baseUrl of [
      'ftp://a.example',
      'http://user:value-marker@a.example',
      'http://a.example/?x',
      '',
    ]) {
      expectTypeError(constructionError({ baseUrl, allowHttp: true }), INVALID_VALUE, /baseUrl/)
    }
    expectTypeError(
      constructionError({ baseUrl: inside[0], allowHttp: true, proxy: 'http://127.0.0.1:3128' }),
      INVALID_VALUE,
      /proxy needs an https: baseUrl/,
    )
  })

  // On Windows, this address stands for no host.
  const onUnix = process.platform === 'win32' ? test.skip : test
  onUnix('reaches a platform by http that is not a loopback host with allowHttp', async () => {
    process.env.HTTPS_PROXY = 'http://127.0.0.1:1'
    try {
      const baseUrl = platform.baseUrl.replace('127.0.0.1', '0.0.0.0')
      const client = platform.client({ baseUrl, allowHttp: true })

      await expect(client.getAccessToken('u1', 'slack')).resolves.toEqual(expect.any(String))

      expect(platform.requests).toHaveLength(1)
    } finally {
      delete process.env.HTTPS_PROXY
    }
  })

  test('takes each path from the option before the environment, and from the environment before the default', async () => {
    process.env.XKIT_USER_PATH = '/env/{id}/{slug}'
    process.env.XKIT_GROUP_PATH = '/env/groups/{id}/{slug}'
    try {
      const client = platform.client({ paths: { group: '/option/{id}/{slug}', context: undefined } })
      for (const owner of ['u1', { group: 'acme' }, { context: 'c1' }])
        await client.getAccessToken(owner, 'slack')

      expect(platform.paths).toEqual([
        '/env/u1/slack',
        '/option/acme/slack',
        '/contexts/c1/connections/slack',
      ])
      const error = constructionError({ paths: { group: '/value-marker' } })
      expectTypeError(error, INVALID_VALUE, /^The option paths\.group must /)
    } finally {
      delete process.env.XKIT_USER_PATH
      delete process.env.XKIT_GROUP_PATH
    }
  })

  test('holds a base URL from the environment to the same rules', () => {
    process.env.XKIT_BASE_URL = 'http://value-marker.example'
    try {
      const error = constructionError({ baseUrl: undefined })
      expectTypeError(error, INVALID_VALUE, /baseUrl|XKIT_BASE_URL/)
      expect(error.message).not.toContain('value-marker')
    } finally {
      delete process.env.XKIT_BASE_URL
    }
  })

  test.each([
    'value-marker',
    'javascript:value-marker',
    'data:text/html,value-marker',
    'ftp://value-marker.example',
  ])('refuses the catalog URL %j', catalogUrl => {
    const error = constructionError({ catalogUrl })
    expectTypeError(error, INVALID_VALUE, /catalogUrl/)
    expect(error.message).not.toContain('value-marker')
  })

  test.each([
    'connections/{id}/{slug}',
    '/connections/{slug}',
    '/connections/{id}',
    '/connections/{id}/{id}/{slug}',
    '/connections/{id}/{slug}/{slug}',
    '/connections/user-{id}/{slug}',
    '/connections/{id}{slug}',
    '/connections/{id}/{slug}?a=b',
    '/connections/{id}/{slug}#a',
    '/../connections/{id}/{slug}',
    '/connections/./{id}/{slug}',
    '/connections/{id}/{slug}/{other}',
    '',
  ])('refuses the path template %j', template => {
    for (const kind of Object.keys(KINDS)) {
      expectTypeError(
        constructionError({ paths: { [kind]: template } }),
        INVALID_VALUE,
        new RegExp(`paths.*${kind}`),
      )
    }
  })

  test('refuses path templates for unknown owners, and ones that are no strings', () => {
    expectTypeError(
      constructionError({ paths: { team: '/teams/{id}/{slug}' } }),
      INVALID_VALUE,
      /paths.*team/,
    )
    for (const user of [5, null, {}, true]) {
      expectTypeError(constructionError({ paths: { user } }), INVALID_TYPE, /paths.*user/)
    }
  })

  test.each([
    '',
    'value-marker',
    'ftp://user:value-marker@a.example',
    'socks5://user:value-marker@127.0.0.1:1',
  ])('refuses the proxy %j', proxy => {
    const error = constructionError({ proxy })
    expectTypeError(error, INVALID_VALUE, /proxy/)
    expectNoSecrets(error, ['value-marker'])
  })

  test.each([
    ['text', 'value-marker'],
    ['nothing', ''],
    ['bytes', Buffer.from('value-marker')],
    ['a list of text', ['value-marker']],
    ['an envelope around garbage', CERTIFICATE_GARBAGE],
  ])('refuses %s in place of certificates', (_, ca) => {
    const error = constructionError({ ca })
    expectTypeError(error, INVALID_VALUE, /ca/)
    expect(error.message).not.toContain('value-marker')
  })

  test.each(['baseURL', 'timeout', 'apiKey', 'retries', 'signal', 'secret_key'])(
    'refuses the unknown option %s',
    name => {
      const error = constructionError({ [name]: 'value-marker' })
      expectTypeError(error, INVALID_VALUE, new RegExp(name))
      expect(error.message).not.toContain('value-marker')
    },
  )

  test.each([
    ['null', null],
    ['a number', 5],
    ['a string', SECRET_KEY],
    ['a boolean', true],
    ['a symbol', Symbol('options')],
    ['a list', []],
    ['a function', () => {}],
  ])('refuses %s in place of options', (_, options) => {
    expect(() => new XkitClient(options)).toThrow(
      expect.objectContaining({ name: 'TypeError', code: INVALID_TYPE }),
    )
  })

  test('takes an option that is undefined for one that is absent', async () => {
    const absent = {
      timeoutMs: undefined,
      maxRetries: undefined,
      paths: undefined,
      proxy: undefined,
      ca: undefined,
      cert: undefined,
      key: undefined,
    }

    await platform
      .client({ ...absent, paths: { group: undefined } })
      .getGroupAccessToken('acme', 'slack', undefined)

    expect(platform.paths).toEqual(['/groups/acme/connections/slack'])
  })

  test('reads own properties only', async () => {
    const options = Object.create({ baseUrl: 'value-marker', timeoutMs: -1, unknown: 1, paths: 5 })
    Object.assign(options, {
      publishableKey: PUBLISHABLE_KEY,
      secretKey: SECRET_KEY,
      baseUrl: platform.baseUrl,
    })

    await new XkitClient(options).getAccessToken('u1', 'slack')

    expect(platform.paths).toEqual(['/connections/u1/slack'])
  })
})

describe('keys', () => {
  const names = ['publishableKey', 'secretKey']
  const variables = { publishableKey: 'XKIT_PUBLISHABLE_KEY', secretKey: 'XKIT_SECRET_KEY' }

  test.each(names)('%s that is set and empty is refused, and the message names where it comes from', name => {
    for (const empty of ['', '\n']) {
      const error = constructionError({ [name]: empty })
      expect(error).toMatchObject({ name: 'XkitError', code: 'ERR_XKIT_MISSING_CREDENTIALS', attempts: 0 })
      expect(error.message).toMatch(`The option ${name} is empty`)
      expectNoSecrets(error, [PUBLISHABLE_KEY, SECRET_KEY, KEY_PAIR])
    }
  })

  test.each(names)('%s that nobody has set is missed by each call, until it is there', async name => {
    const client = platform.client({ [name]: undefined, catalogUrl: 'https://acme.xkit.co', cache: true })
    expect(client.connectorUrl('slack')).toBe('https://acme.xkit.co/connectors/slack')
    expect(client.stats().calls).toBe(0)
    client.invalidate('u1', 'slack')
    const calls = [
      () => client.getAccessToken('u1', 'slack'),
      () => client.getGroupAccessToken('acme', 'slack'),
      () => client.getConnection('u1', 'slack'),
      () => client.withAccessToken('u1', 'slack', token => token),
      () => client.getAccessToken('u1', 'slack', { signal: new AbortController().signal, fresh: true }),
    ]
    try {
      for (const value of [undefined, '']) {
        if (value !== undefined) process.env[variables[name]] = value
        for (const call of calls) {
          const error = await failureOf(call())
          expect(error).toMatchObject({
            name: 'XkitError',
            code: 'ERR_XKIT_MISSING_CREDENTIALS',
            attempts: 0,
          })
          expect(error.message).toContain(variables[name])
          expectNoSecrets(error, [PUBLISHABLE_KEY, SECRET_KEY, KEY_PAIR])
        }
      }
      expect(platform.requests).toHaveLength(0)

      process.env[variables[name]] = { publishableKey: PUBLISHABLE_KEY, secretKey: SECRET_KEY }[name]
      for (const call of calls) await call()
      expect(platform.requests.map(({ headers }) => headers.authorization)).toContain(AUTHORIZATION)
    } finally {
      delete process.env[variables[name]]
    }
    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test('that are there by the first call and wrong reject it, without being shown', async () => {
    const client = platform.client({ secretKey: undefined })
    process.env.XKIT_SECRET_KEY = 'sk_fake\n\nhunter2'
    try {
      const error = await failureOf(client.getAccessToken('u1', 'slack'))
      expectTypeError(error, INVALID_VALUE, /XKIT_SECRET_KEY/)
      expect(error.message).not.toContain('hunter2')
    } finally {
      delete process.env.XKIT_SECRET_KEY
    }
  })

  test('that are missing do not hide what else is wrong at the construction', () => {
    const error = constructionError({ secretKey: undefined, baseUrl: 'http://p.example' })
    expectTypeError(error, INVALID_VALUE, /baseUrl/)
  })

  test('are not looked for once the client is closed', async () => {
    const client = platform.client({ secretKey: undefined })
    await client.close()
    process.env.XKIT_SECRET_KEY = SECRET_KEY
    try {
      expect(await failureOf(client.getAccessToken('u1', 'slack'))).toHaveProperty('code', 'ERR_XKIT_CLOSED')
    } finally {
      delete process.env.XKIT_SECRET_KEY
    }
  })

  test.each(names)('%s with control characters is refused without being printed', name => {
    for (const control of ['\0', '\r\nX-Header: 1', '\t', '\u001b', '\u007f', '\n\n']) {
      const error = constructionError({ [name]: `value-marker${control}` })
      expectTypeError(error, INVALID_VALUE, name)
      expectNoSecrets(error, ['value-marker', PUBLISHABLE_KEY, SECRET_KEY, KEY_PAIR])
    }
  })

  test('lose one newline at the end, as a file has it', async () => {
    const client = platform.client({ publishableKey: `${PUBLISHABLE_KEY}\n`, secretKey: `${SECRET_KEY}\n` })

    await client.getAccessToken('u1', 'slack')

    expect(platform.requests.map(({ headers }) => headers.authorization)).toEqual([AUTHORIZATION])
  })
})

describe('options of a call', () => {
  const methods = [
    ['getAccessToken', (client, options) => client.getAccessToken('u1', 'slack', options)],
    ['getConnection', (client, options) => client.getConnection('u1', 'slack', options)],
    ['getGroupAccessToken', (client, options) => client.getGroupAccessToken('acme', 'slack', options)],
  ]
  const wrong = [
    [INVALID_TYPE, /options/, [null, 5, 'x', true, Symbol('options'), [], () => {}]],
    [INVALID_TYPE, /signal/, [null, 5, 'x', true, {}, new AbortController()].map(signal => ({ signal }))],
    [INVALID_TYPE, /timeoutMs/, notNumbers.map(timeoutMs => ({ timeoutMs }))],
    [INVALID_VALUE, /timeoutMs/, [NaN, Infinity, -1, 0, 1.5, 2 ** 31].map(timeoutMs => ({ timeoutMs }))],
    [INVALID_VALUE, /timeout/, [{ timeout: 5 }]],
    [INVALID_VALUE, /maxRetries/, [{ maxRetries: 5 }]],
  ]

  test.each(methods)('of %s are checked', async (_, call) => {
    const client = platform.client()
    for (const [code, name, values] of wrong) {
      for (const options of values) {
        expectTypeError(await rejectionOf(() => call(client, options)), code, name)
      }
    }
    expect(platform.requests).toHaveLength(0)
    expect(client.stats().calls).toBe(0)
  })

  test.each(methods)('of %s may be empty, undefined or inherited', async (_, call) => {
    const client = platform.client()
    const inherited = Object.create({ timeoutMs: -1, signal: 5, unknown: 1 })

    for (const options of [undefined, {}, { signal: undefined, timeoutMs: undefined }, inherited]) {
      await call(client, options)
    }

    expect(platform.requests).toHaveLength(4)
  })
})

test('the functions on the default client reject wrong arguments, too', async () => {
  process.env.XKIT_PUBLISHABLE_KEY = PUBLISHABLE_KEY
  process.env.XKIT_SECRET_KEY = SECRET_KEY
  process.env.XKIT_BASE_URL = platform.baseUrl
  try {
    for (const call of [getAccessToken, getGroupAccessToken]) {
      expectTypeError(await rejectionOf(() => call(null, 'slack')), INVALID_TYPE, /owner|group/i)
      expectTypeError(await rejectionOf(() => call('u1', '..')), INVALID_VALUE, /slug/)
      expectTypeError(await rejectionOf(() => call('u1', 'slack', 5)), INVALID_TYPE, /options/)
    }
    expect(platform.requests).toHaveLength(0)
  } finally {
    for (const name of ['PUBLISHABLE_KEY', 'SECRET_KEY', 'BASE_URL']) delete process.env[`XKIT_${name}`]
  }
})

test('a polluted Object.prototype changes nothing', async () => {
  const pollution = {
    publishableKey: 'pk_polluted',
    secretKey: 'sk_polluted',
    baseUrl: 'https://evil.example',
    catalogUrl: 'https://evil.example',
    paths: { user: '/evil/{id}/{slug}' },
    timeoutMs: -1,
    maxRetries: 'many',
    proxy: 'http://evil.example',
    ca: 'garbage',
    cert: 'garbage',
    key: 'garbage',
    user: 'admin',
    group: 'admin',
    context: 'admin',
    unknown: true,
    accessToken: 'polluted',
    expiresAtMs: 1,
    cause: 'polluted',
    connectUrl: 'https://evil.example',
    errorCode: 'polluted',
    retryAfterMs: 1,
    requestId: 'polluted',
  }
  platform.replyWith(json(200, flat()), json(200, flat({ connection: { enabled: false } })), json(401, {}))
  const polluted = async () => {
    const client = new XkitClient({
      publishableKey: PUBLISHABLE_KEY,
      secretKey: SECRET_KEY,
      baseUrl: platform.baseUrl,
      paths: {},
    })
    const options = {}
    return [
      await client.getConnection({ user: 'u1' }, 'slack', options),
      await client.getConnection({ group: 'acme' }, 'slack', options),
      await failureOf(client.getAccessToken('u1', 'slack', options)),
      await failureOf(client.getAccessToken({}, 'slack', options)),
      await failureOf(new XkitClient({ baseUrl: platform.baseUrl }).getAccessToken('u1', 'slack')),
    ]
  }
  const own = (value, name) => (Object.hasOwn(value, name) ? value[name] : undefined)

  let results
  try {
    for (const [name, value] of Object.entries(pollution)) {
      Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true })
    }
    results = await polluted()
  } finally {
    for (const name of Object.keys(pollution)) delete Object.prototype[name]
  }

  const [active, notEnabled, refused, noKind, noKeys] = results
  expect(noKeys.message).toMatch(/XKIT_/)
  expect(active.accessToken).toBe(ACCESS_TOKEN)
  expect(notEnabled.status).toBe('not_enabled')
  expect(own(active, 'expiresAt')).toBeUndefined()
  expect([own(notEnabled, 'accessToken'), own(notEnabled, 'connectUrl')]).toEqual([undefined, undefined])
  expect(refused.code).toBe('ERR_XKIT_INVALID_API_KEY')
  for (const field of ['requestId', 'retryAfterMs', 'cause']) expect(own(refused, field)).toBeUndefined()
  expect(noKind.code).toBe(INVALID_VALUE)
  expect(platform.paths).toEqual([
    '/connections/u1/slack',
    '/groups/acme/connections/slack',
    '/connections/u1/slack',
  ])
  expect(platform.requests.map(({ headers }) => headers.authorization)).toEqual([
    AUTHORIZATION,
    AUTHORIZATION,
    AUTHORIZATION,
  ])
})

test('what cannot be an id is the same to JavaScript and to Rust, for every character', () => {
  const client = platform.client()
  const isRefused = (check, text) => {
    try {
      check(text)
      return false
    } catch ({ code }) {
      return code === INVALID_VALUE
    }
  }
  const refusedBy = check => {
    const refused = []
    for (let code = 0; code <= 0x10ffff; code++) {
      // Halves of a pair are no characters, and do not come as far as Rust.
      if (code === 0xd800) code = 0xe000
      const character = String.fromCodePoint(code)
      if (isRefused(check, character)) refused.push(code)
    }
    return refused
  }

  const byRust = refusedBy(text => client.connectorUrl(text))
  const byJavaScript = refusedBy(text => requireId('id', text))

  expect(byJavaScript).toEqual(byRust)
  // The controls, the white space, the byte order mark and the dot.
  expect(byRust.length).toBe(65 + 19 + 1 + 1)
  expect(byRust).toContain(0xfeff)
})
