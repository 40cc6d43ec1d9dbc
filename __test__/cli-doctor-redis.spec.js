// Owns the proof of the step of `xkit doctor` that looks at a Redis: real ones, and what only answers in the place of one.
'use strict'

const { execFile } = require('node:child_process')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { startEmulator } = require('../emulator')
const { createAuthority } = require('./support/certificates')
const { startRedis } = require('./support/redis-rigs')
const { closeRigs, closedPort, listen } = require('./support/rigs')
const { testsWith } = require('./support/tools')

const { describe, test } = testsWith('redis-server')

const COMMAND = path.join(__dirname, '..', 'bin', 'xkit.js')
const PASSWORD = 'swordfish-3f0b'
const RIGHT = 'right-one-91aa'

/** What docs/fleet.md names. */
const [RIGHTS] = /~xkit:\* [^`]+/.exec(readFileSync(path.join(__dirname, '..', 'docs', 'fleet.md'), 'utf8'))

let emulator
beforeAll(async () => {
  emulator = await startEmulator({ users: { u1: { slack: {} } } })
})
afterAll(() => emulator.close())
afterEach(closeRigs)

/** The lines of the step, the exit code, and that nothing secret is printed. */
async function doctor(env, ...args) {
  const environment = {
    ...process.env,
    XKIT_BASE_URL: emulator.baseUrl,
    XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
    XKIT_SECRET_KEY: emulator.secretKey,
    ...env,
  }
  const before = emulator.requests.length
  const command = [COMMAND, 'doctor', '--user', 'u1', ...args]
  const { code, stdout, stderr } = await new Promise(resolve => {
    execFile(process.execPath, command, { env: environment }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
  expect(stderr).toBe('')
  for (const secret of [PASSWORD, RIGHT]) expect(stdout).not.toContain(secret)
  // Those of the step go to no platform.
  expect(emulator.requests.length - before).toBe(1)
  return { code, lines: stdout.split('\n').filter(line => /^.{4} {2}Redis /.test(line)) }
}

const withLogin = (url, login) => url.replace('//', `//${login}@`)
const server = async (settings, more) => (await startRedis({ settings, ...more })).url
/** What answers everything with `reply`. */
const answering = async reply => {
  const { port } = await listen(net.createServer(socket => socket.on('data', () => socket.write(reply))))
  return `redis://127.0.0.1:${port}`
}

test('says nothing of a Redis that nobody has named', async () => {
  expect(await doctor({})).toEqual({ code: 0, lines: [] })
})

test.each([
  ['XKIT_REDIS_URL', url => [{ XKIT_REDIS_URL: url }]],
  ['--redis', url => [{ XKIT_REDIS_URL: 'redis://127.0.0.1:1' }, '--redis', url]],
])('finds what it wrote into the Redis of %s', async (source, given) => {
  const redis = await startRedis({ settings: ['--requirepass', PASSWORD] })

  const { code, lines } = await doctor(...given(withLogin(redis.url, `:${PASSWORD}`)))

  expect(lines).toEqual([
    `ok    Redis        ${redis.url} (from ${source}) is reached, and what is written is found again`,
  ])
  expect(code).toBe(0)
})

test('leaves no key that lasts longer than a minute, and none without an end', async () => {
  const redis = await startRedis()
  expect((await doctor({ XKIT_REDIS_URL: redis.url })).code).toBe(0)

  const keys = await redis.ask('KEYS', '*')
  expect(keys.length).toBeGreaterThan(0)
  for (const key of keys) {
    const left = await redis.ask('PTTL', key)
    expect([key, left > 0 && left <= 60_000]).toEqual([key, true])
  }
})

test('is content with the rights that the docs name', async () => {
  const url = await server(['--user', 'xkit', 'on', `>${PASSWORD}`, ...RIGHTS.split(' ')])

  const { code, lines } = await doctor({ XKIT_REDIS_URL: withLogin(url, `xkit:${PASSWORD}`) })

  expect([code, lines]).toEqual([0, [expect.stringMatching(/^ok /)]])
})

test('logs in at Sentinels by a login of their own, and says which variable is missing', async () => {
  const watched = await startRedis()
  const lines = [`requirepass ${PASSWORD}`]
  const sentinel = await startRedis({ sentinelOf: watched.port, lines })
  const url = `redis-sentinel://127.0.0.1:${sentinel.port}?master=main`

  const known = await doctor({ XKIT_REDIS_URL: url, XKIT_REDIS_SENTINEL_PASSWORD: PASSWORD })
  expect([known.code, known.lines]).toEqual([0, [expect.stringMatching(/^ok .* is reached/)]])

  const unknown = await doctor({ XKIT_REDIS_URL: url })
  expect([unknown.code, unknown.lines]).toEqual([
    1,
    [expect.stringContaining('XKIT_REDIS_SENTINEL_PASSWORD')],
  ])
})

test('speaks TLS by the authorities that Node is told of', async () => {
  const authority = createAuthority()
  const url = await server([], { identity: authority.issue({ hosts: ['127.0.0.1'] }) })
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-doctor-redis-'))
  const file = path.join(folder, 'ca.pem')
  writeFileSync(file, authority.certificate)
  try {
    const trusted = await doctor({ XKIT_REDIS_URL: url, NODE_EXTRA_CA_CERTS: file })
    expect([trusted.code, trusted.lines]).toEqual([0, [expect.stringMatching(/^ok /)]])

    const unknown = await doctor({ XKIT_REDIS_URL: url })
    expect([unknown.code, unknown.lines]).toEqual([
      1,
      [
        expect.stringMatching(
          /certificate's issuer is not trusted; add its authority with NODE_EXTRA_CA_CERTS/,
        ),
      ],
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

describe('says what is wrong, and what to do, of one that', () => {
  const FAULTS = [
    [
      'is not there',
      async () => `redis://127.0.0.1:${await closedPort()}`,
      /refused.*check the host and the port/,
    ],
    ['has no name', () => 'redis://redis.invalid', /lookup.*check the host in the URL/],
    ['wants a password', () => server(['--requirepass', RIGHT]), /NOAUTH; it wants a password/],
    [
      'wants no password',
      async () => withLogin(await server([]), `:${PASSWORD}`),
      /WRONGPASS; .*leave them out for a Redis that has none/,
    ],
    [
      'knows another password',
      async () => withLogin(await server(['--requirepass', RIGHT]), `:${PASSWORD}`),
      /WRONGPASS; the user name or the password is refused/,
    ],
    [
      'lets the user do nothing',
      async () =>
        withLogin(await server(['--user', 'poor', 'on', `>${PASSWORD}`, '+ping']), `poor:${PASSWORD}`),
      'NOPERM; the user may not do all that is needed, which is: RIGHTS',
    ],
    [
      'lets the user not subscribe',
      async () => {
        const rights = [
          '~xkit:*',
          '+@connection',
          '+eval',
          '+get',
          '+set',
          '+setrange',
          '+del',
          '+pttl',
          '+pexpire',
        ]
        const url = await server(['--user', 'deaf', 'on', `>${PASSWORD}`, ...rights])
        return withLogin(url, `deaf:${PASSWORD}`)
      },
      /NOPERM; .*\+subscribe/,
    ],
    ['is a replica', () => server(['--replicaof', '127.0.0.1', '1']), /READONLY; it is a replica|MASTERDOWN/],
    ['is full', () => server(['--maxmemory', '1', '--maxmemory-policy', 'noeviction']), /OOM; it is full/],
    [
      'is a member of a cluster',
      () => answering('-MOVED 1 127.0.0.1:1\r\n'),
      /(MOVED; it is a member|refused)/,
    ],
    [
      'speaks no TLS',
      async () => (await server([])).replace('redis:', 'rediss:'),
      /plain port; it speaks no TLS there/,
    ],
    [
      'speaks TLS alone',
      async () => {
        const identity = createAuthority().issue({ hosts: ['127.0.0.1'] })
        return (await server([], { identity })).replace('rediss:', 'redis:')
      },
      /rediss:\/\/|check what listens there/,
    ],
    [
      'is none',
      () => answering('HTTP/1.1 400 Bad Request\r\n\r\n'),
      /(not Redis's|lost).*check (the port|what listens there)/,
    ],
    ['never answers', () => answering(''), /timed out: .*firewalls/],
  ]

  test.each(FAULTS)('%s', async (_what, where, words) => {
    const { code, lines } = await doctor({ XKIT_REDIS_URL: await where() })

    expect(lines).toEqual([expect.stringMatching(/^FAIL {2}Redis/)])
    expect(lines[0]).toMatch(typeof words === 'string' ? words.replace('RIGHTS', RIGHTS) : words)
    expect(lines[0]).toContain('(from XKIT_REDIS_URL)')
    expect(code).toBe(1)
  })

  test.each([
    ['http://127.0.0.1:6379', /must begin with redis:\/\//],
    [`${PASSWORD}`, /must be a URL/],
    [`redis://:${PASSWORD}@127.0.0.1:6379/first`, /The URL from XKIT_REDIS_URL must/],
  ])('has no URL that the client takes: %s', async (url, words) => {
    const { code, lines } = await doctor({ XKIT_REDIS_URL: url })

    expect([code, lines]).toEqual([1, [expect.stringMatching(words)]])
  })
})
