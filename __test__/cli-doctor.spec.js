// Owns the proof of `xkit doctor`: each step broken in turn, what it then says to do, and what was sent to whom.
'use strict'

const { execFile } = require('node:child_process')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const http = require('node:http')
const { tmpdir } = require('node:os')
const path = require('node:path')
const tls = require('node:tls')
const { startEmulator } = require('../emulator')
const { createAuthority, selfSigned } = require('./support/certificates')
const { PROXY_REPLY, startProxy, startServer } = require('./support/http-rigs')
const { flat, html, json, startPlatform } = require('./support/platform')
const { closeRigs, closedPort, listen, startRawServer } = require('./support/rigs')

const COMMAND = path.join(__dirname, '..', 'bin', 'xkit.js')
const KEYS = { publishableKey: 'pk_doctor_4d20b7', secretKey: 'sk_doctor_c83f1e' }
const SHORT_KEY = 'sk_short-91ab'
const TOKEN = 'xoxb-doctor-0a6c'
const PROXY_PASSWORD = 'hunter2-77aa'
const SECRETS = [
  ...Object.values(KEYS),
  Buffer.from(Object.values(KEYS).join(':')).toString('base64'),
  TOKEN,
  PROXY_PASSWORD,
]
const LINE = /^(ok {2}|FAIL|skip|note) {2}(\S[^\n]{10}) {2}(\S[^\n]*)$/
const DAY = 24 * 60 * 60 * 1000

const authority = createAuthority()
const identity = authority.issue({ hosts: ['localhost', '127.0.0.1'] })
let folder
let authorityFile
let emulator
const outputs = []

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'xkit-doctor-'))
  authorityFile = path.join(folder, 'authority.pem')
  writeFileSync(authorityFile, authority.certificate)
})

afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(async () => {
  const connection = { slack: { accessToken: TOKEN } }
  emulator = await startEmulator({ ...KEYS, users: { u1: connection }, groups: { acme: connection } })
})

afterEach(async () => {
  await Promise.all([emulator.close(), closeRigs()])
  for (const { stdout, stderr } of outputs.splice(0)) {
    for (const secret of SECRETS) expect(stdout).not.toContain(secret)
    expect(stdout).not.toMatch(/\p{Cc}(?<!\n)/u)
    expect(stderr).toBe('')
  }
})

/** Runs it against the emulator unless `env` says otherwise; `steps` holds its lines by the name of the step. */
async function doctor(args = [], env = {}) {
  const environment = {
    ...process.env,
    XKIT_BASE_URL: emulator.baseUrl,
    XKIT_CATALOG_URL: emulator.catalogUrl,
    XKIT_PUBLISHABLE_KEY: KEYS.publishableKey,
    XKIT_SECRET_KEY: KEYS.secretKey,
    ...env,
  }
  const ended = await new Promise(resolve => {
    execFile(
      process.execPath,
      [COMMAND, 'doctor', ...args],
      { env: environment },
      (error, stdout, stderr) => {
        resolve({ code: error ? error.code : 0, stdout, stderr })
      },
    )
  })
  outputs.push(ended)
  const steps = {}
  for (const line of ended.stdout.split('\n').slice(0, -1)) {
    const [, mark, name, text] = LINE.exec(line) ?? [undefined, 'no line of the doctor', line, '']
    steps[name.trim()] ??= []
    steps[name.trim()].push(`${mark.trim()} ${text}`)
  }
  return { code: ended.code, steps }
}

/** One line that matches. */
const only = pattern => [expect.stringMatching(pattern)]
const asked = () => emulator.requests.map(({ path, status }) => `${status} ${path}`)

/** The rest of a report whose steps up to `name` have been looked at. */
function expectHeldBack(steps, ...names) {
  for (const name of names) expect(steps[name]).toEqual(only(/^skip needs /))
}

describe('a set-up that works', () => {
  test('is proved for a user with one request', async () => {
    const { code, steps } = await doctor(['--user', 'u1'])

    expect(steps).toEqual({
      package: only(/^ok xkit-node \d+\.\d+\.\d+, Node\.js v\d/),
      keys: [
        'ok XKIT_PUBLISHABLE_KEY is set in the environment (not shown)',
        'ok XKIT_SECRET_KEY is set in the environment (not shown)',
      ],
      'base URL': [`ok ${emulator.baseUrl} (from XKIT_BASE_URL)`],
      'catalog URL': [`ok a user is sent to ${emulator.catalogUrl}/connectors/slack (by XKIT_CATALOG_URL)`],
      roots: only(/^skip plain http/),
      proxy: ['ok none is set'],
      DNS: ['skip 127.0.0.1 is an address'],
      'TCP/TLS': only(/^ok 127\.0\.0\.1:\d+ is reached, by plain http$/),
      credentials: ['ok the platform takes the keys'],
      answer: ['ok active, with a token (not shown), no expiry is told'],
    })
    expect(code).toBe(0)
    expect(asked()).toEqual(['200 /api/platform/connections/u1/slack'])
  })

  test('is proved without an owner, by a user that cannot exist', async () => {
    const { code, steps } = await doctor()

    expect(steps.credentials).toEqual(
      only(/^ok .*"not provisioned" for a user that cannot exist: keys and address are right$/),
    )
    expect(steps.answer).toEqual(only(/^skip name an owner with --user/))
    expect(code).toBe(0)
    expect(asked()).toEqual([
      expect.stringMatching(/^404 \/api\/platform\/connections\/xkit-doctor-[\da-f-]{36}\/slack$/),
    ])
  })

  test('is looked at for the context and the connector that are named', async () => {
    emulator.setConnection({ context: 'c1' }, 'github', { accessToken: TOKEN, expiresIn: 3600 })

    const { code, steps } = await doctor(['--context', 'c1', '--slug', 'github'])

    expect(steps.answer).toEqual(only(/^ok active, .*, valid until \d{4}-\d\d-\d\dT/))
    expect(code).toBe(0)
    expect(asked()).toEqual(['200 /api/platform/contexts/c1/connections/github'])
  })

  test.each([
    [
      'not_provisioned',
      undefined,
      /^note not_provisioned: the platform does not know this user; check the id$/,
    ],
    ['not_enabled', { enabled: false }, /^ok not_enabled, the owner acts at http:\S+\/connectors\/slack$/],
    [
      'needs_reauthorization',
      { status: 'error', errorCode: 'invalid_grant', errorMessage: 'revoked\u001b[2J' },
      /^ok needs_reauthorization, the platform says: invalid_grant: revoked \[2J, the owner acts at /,
    ],
  ])('may have a connection that is %s', async (_status, state, expected) => {
    if (state) emulator.setConnection('u2', 'slack', state)

    const { code, steps } = await doctor(['--user', 'u2'])

    expect(steps.credentials).toEqual(['ok the platform takes the keys'])
    expect(steps.answer).toEqual(only(expected))
    expect(code).toBe(0)
  })

  test('may do without a catalog, which is noted', async () => {
    const { code, steps } = await doctor(['--user', 'u1'], { XKIT_CATALOG_URL: '' })

    expect(steps['catalog URL']).toEqual(only(/^note XKIT_CATALOG_URL is not set: /))
    expect(code).toBe(0)
  })
})

describe('what is set', () => {
  test.each([
    ['XKIT_PUBLISHABLE_KEY', 'missing', ''],
    ['XKIT_SECRET_KEY', 'missing', ''],
    ['XKIT_PUBLISHABLE_KEY', 'must not contain a colon', `${KEYS.publishableKey}:${KEYS.secretKey}`],
    ['XKIT_SECRET_KEY', 'must not contain control characters', `${KEYS.secretKey}\u0007`],
  ])('%s that is unusable (%s) fails, and nothing is sent', async (name, problem, value) => {
    const { code, steps } = await doctor(['--user', 'u1'], { [name]: value })

    expect(steps.keys.filter(line => line.startsWith('FAIL'))).toEqual([expect.stringContaining(problem)])
    expect(steps.keys.find(line => line.startsWith('FAIL'))).toContain(name)
    expect(steps.keys).toHaveLength(2)
    // What does not need the keys is looked at all the same.
    expect(steps['TCP/TLS']).toEqual(only(/^ok .* is reached/))
    expectHeldBack(steps, 'credentials', 'answer')
    expect(code).toBe(1)
    expect(emulator.requests).toEqual([])
  })

  test('a key in quotation marks is noted', async () => {
    const { code, steps } = await doctor([], { XKIT_SECRET_KEY: `"${KEYS.secretKey}"\n` })

    expect(steps.keys).toContainEqual(
      expect.stringMatching(/^note XKIT_SECRET_KEY holds .* begins or ends with a quotation mark/),
    )
    expect(steps.credentials).toEqual(only(/^FAIL .*401/))
    expect(code).toBe(1)
  })

  test.each([
    ['at its end', `${SHORT_KEY} `],
    ['within', SHORT_KEY.replace('_', ' ')],
  ])('a key with a space %s is noted', async (_where, XKIT_SECRET_KEY) => {
    const { steps } = await doctor([], { XKIT_SECRET_KEY })
    expect(steps.keys).toContainEqual(expect.stringMatching(/^note XKIT_SECRET_KEY holds a space/))
  })

  test.each([
    [
      'a zero width space',
      key => `${key.slice(0, 4)}\u200b${key.slice(4)}`,
      5,
      'U+200B (a zero width space)',
    ],
    ['a no-break space', key => `\u00a0${key}`, 1, 'U+00A0 (a no-break space)'],
    ['a byte order mark', key => `${key}\ufeff`, 14, 'U+FEFF'],
    ['a letter of another alphabet', key => key.replace('s', '\u0455'), 1, 'U+0455'],
  ])('a key with %s fails by its place, without the key', async (_what, change, position, character) => {
    const { code, steps } = await doctor([], { XKIT_SECRET_KEY: change(SHORT_KEY) })

    const failures = steps.keys.filter(line => line.startsWith('FAIL'))
    expect(failures).toEqual([expect.stringContaining(`character ${position} is ${character}`)])
    expect(failures[0]).toContain('XKIT_SECRET_KEY')
    expect(failures[0]).not.toContain(SHORT_KEY.slice(-4))
    expect(code).toBe(1)
  })

  test.each([
    ['no URL', 'nonsense'],
    ['plain http to another machine', 'http://h.invalid'],
    ['a password', `https://u:${PROXY_PASSWORD}@h.invalid`],
    ['a query', 'https://h.invalid/?key=x'],
  ])('a base URL with %s fails without being repeated', async (_what, XKIT_BASE_URL) => {
    const { code, steps } = await doctor([], { XKIT_BASE_URL })

    expect(steps['base URL']).toEqual(
      only(/^FAIL The environment variable XKIT_BASE_URL must .*\(ERR_INVALID_ARG_VALUE\)$/),
    )
    expect(outputs.at(-1).stdout).not.toMatch(/nonsense|h\.invalid/)
    expectHeldBack(steps, 'roots', 'proxy', 'DNS', 'TCP/TLS', 'credentials', 'answer')
    expect(code).toBe(1)
  })

  test('a catalog URL that is none fails, and nothing is sent', async () => {
    const { code, steps } = await doctor([], { XKIT_CATALOG_URL: 'nonsense' })

    expect(steps['catalog URL']).toEqual(only(/^FAIL The environment variable XKIT_CATALOG_URL must /))
    expectHeldBack(steps, 'credentials', 'answer')
    expect(code).toBe(1)
    expect(emulator.requests).toEqual([])
  })

  test.each([
    ['http://127.0.0.1:1', 'http://127.0.0.1:1/connectors/git%2Fhub'],
    ['https://acme.example/{slug}', 'https://acme.example/git%2Fhub'],
    [
      'https://acme.example/settings#/connectors/{slug}',
      'https://acme.example/settings#/connectors/git%2Fhub',
    ],
  ])('the catalog URL %s is shown by the link that a user would get', async (catalogUrl, link) => {
    const { steps } = await doctor(['--slug', 'git/hub'], { XKIT_CATALOG_URL: catalogUrl })

    expect(steps['catalog URL']).toEqual([`ok a user is sent to ${link} (by XKIT_CATALOG_URL)`])
  })

  test('an addon that does not load fails, and all else is held back', async () => {
    const { code, steps } = await doctor([], { NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/addon.node' })

    expect(steps.package).toEqual(
      only(
        /^FAIL the addon does not load with Node\.js v.*: The binary that NAPI_RS_NATIVE_LIBRARY_PATH names /,
      ),
    )
    const { package: _, ...others } = steps
    expectHeldBack(steps, ...Object.keys(others))
    expect(code).toBe(1)
  })

  test('the defaults are those that the typings document', async () => {
    const { DEFAULT_BASE_URL } = require('../cli/doctor/environment')
    const { GROUP_PATHS } = require('../cli/doctor/answers')
    const typings = readFileSync(path.join(__dirname, '..', 'index.d.ts'), 'utf8')

    expect(typings).toContain(`@default process.env.XKIT_BASE_URL, else '${DEFAULT_BASE_URL}'`)
    expect(typings).toContain(`else '${GROUP_PATHS[0]}'\n   */\n  group?: string`)
  })

  test('where the environment names no base URL, the default is the one that is looked at', async () => {
    // Without keys nothing may be sent; a proxy keeps the report off the network.
    const HTTPS_PROXY = `http://127.0.0.1:${await closedPort()}`
    const { steps } = await doctor([], { XKIT_BASE_URL: '', XKIT_SECRET_KEY: '', HTTPS_PROXY })

    expect(steps['base URL']).toEqual(['ok https://app.xkit.co/api/platform (the default)'])
  })
})

describe('DNS', () => {
  test('that does not know the host fails', async () => {
    const { code, steps } = await doctor([], { XKIT_BASE_URL: 'https://nowhere.invalid' })

    expect(steps.DNS).toEqual(
      only(/^FAIL the lookup of nowhere\.invalid (failed|got no answer).*: check the host/),
    )
    expectHeldBack(steps, 'TCP/TLS', 'credentials', 'answer')
    expect(code).toBe(1)
  })
})

describe('TCP and TLS', () => {
  const secure = (options, host = '127.0.0.1') =>
    startServer(options).then(server => ({ server, XKIT_BASE_URL: `https://${host}:${server.port}` }))

  test('with a private CA in NODE_EXTRA_CA_CERTS is told in detail', async () => {
    const { server, XKIT_BASE_URL } = await secure({ identity }, 'localhost')

    const { code, steps } = await doctor(['--user', 'u1'], {
      XKIT_BASE_URL,
      NODE_EXTRA_CA_CERTS: authorityFile,
    })

    expect(steps.DNS).toEqual(only(/^ok localhost is .*127\.0\.0\.1/))
    expect(steps.roots).toEqual(only(/^ok trusted: .*, NODE_EXTRA_CA_CERTS$/))
    const inTwoDays = new Date(Date.now() + DAY).toISOString().slice(0, 10)
    expect(steps['TCP/TLS']).toEqual([
      expect.stringMatching(
        /^ok TLSv1\.3, HTTP\/2; the certificate of Private test server was issued by Private test CA and is valid until /,
      ),
    ])
    expect(steps['TCP/TLS'][0]).toContain(`valid until ${inTwoDays}T`)
    expect(code).toBe(0)
    expect(server.requests.count).toBe(1)
  })

  describe('where HTTP/2 is agreed upon and not spoken', () => {
    /** A middlebox: what it says to whoever agreed on HTTP/2, and over HTTP/1.1 the answer of the platform. */
    async function startMiddlebox(overHttp1) {
      const server = http.createServer((_request, response) => {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(flat({ authorization: { access_token: TOKEN } })))
      })
      const secureServer = tls.createServer({ ...identity, ALPNProtocols: ['h2', 'http/1.1'] }, socket => {
        if (socket.alpnProtocol === 'h2') socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
        else if (!overHttp1) socket.destroy()
        else server.emit('connection', socket)
      })
      const { port } = await listen(secureServer)
      return { XKIT_BASE_URL: `https://127.0.0.1:${port}/api/platform`, NODE_EXTRA_CA_CERTS: authorityFile }
    }

    test('says that HTTP/1.1 works, and what to set, which helps', async () => {
      const env = await startMiddlebox(true)

      const { code, steps } = await doctor(['--user', 'u1'], env)
      expect(steps['TCP/TLS'].slice(0, 2)).toEqual([
        expect.stringMatching(/^FAIL /),
        expect.stringMatching(/^note HTTP\/2 does not work here, and HTTP\/1\.1 does: set XKIT_HTTP2=0/),
      ])
      expect(code).toBe(1)

      expect((await doctor(['--user', 'u1'], { ...env, XKIT_HTTP2: '0' })).code).toBe(0)
    })

    test('says so where HTTP/1.1 fails too', async () => {
      const { steps } = await doctor(['--user', 'u1'], await startMiddlebox(false))
      expect(steps['TCP/TLS'][1]).toMatch(/^note over HTTP\/1\.1 it fails too: /)
    })
  })

  test.each([
    [
      'self-signed',
      () => selfSigned({ hosts: ['127.0.0.1'] }),
      /unknown issuer.*NODE_EXTRA_CA_CERTS.*ERR_XKIT_TLS/,
    ],
    ['of an unknown CA', () => identity, /unknown issuer.*NODE_EXTRA_CA_CERTS.*ERR_XKIT_TLS/],
  ])('with a certificate that is %s fails, and nothing is sent', async (_what, identityOf, reason) => {
    const { server, XKIT_BASE_URL } = await secure({ identity: identityOf() })

    const { code, steps } = await doctor(['--user', 'u1'], { XKIT_BASE_URL })

    expect(steps.roots).toEqual(['ok trusted: those built into xkit-node'])
    expect(steps['TCP/TLS']).toEqual([
      expect.stringMatching(/^FAIL No secure connection to https:/),
      expect.stringMatching(/^note TLSv1\.3, HTTP\/2; the certificate of Private .* was issued by Private /),
    ])
    expect(steps['TCP/TLS'][0]).toMatch(reason)
    expectHeldBack(steps, 'credentials', 'answer')
    expect(code).toBe(1)
    expect(server.requests.count).toBe(0)
  })

  test.each([
    ['expired', { hosts: ['127.0.0.1'], notBefore: new Date(0), notAfter: new Date(DAY) }, /has expired/],
    ['for another host', { hosts: ['other.invalid'] }, /not valid for this host/],
  ])('with a certificate that is %s fails, and says so', async (_what, validity, reason) => {
    const { XKIT_BASE_URL } = await secure({ identity: authority.issue(validity) })

    const { code, steps } = await doctor([], { XKIT_BASE_URL, NODE_EXTRA_CA_CERTS: authorityFile })

    expect(steps['TCP/TLS'][0]).toMatch(/^FAIL No secure connection to https:.*ERR_XKIT_TLS/)
    expect(steps['TCP/TLS'][0]).toMatch(reason)
    expect(code).toBe(1)
  })

  test('are looked at without keys too, and then it is Node that judges', async () => {
    const { server, XKIT_BASE_URL } = await secure({ identity })

    const { steps } = await doctor([], { XKIT_BASE_URL, XKIT_SECRET_KEY: '' })

    expect(steps['TCP/TLS']).toEqual(only(/^FAIL Node does not trust the certificate \(\w+\): check /))
    expect(server.requests.count).toBe(0)
  })

  test('with settings that are not honoured, or name what cannot be used, note it', async () => {
    const { XKIT_BASE_URL } = await secure({ identity })
    const env = { XKIT_BASE_URL, NODE_TLS_REJECT_UNAUTHORIZED: '0' }

    const missing = await doctor([], { ...env, NODE_EXTRA_CA_CERTS: path.join(folder, 'missing.pem') })
    outputs.length = 0 // Node itself warns on stderr of both settings.
    const empty = path.join(folder, 'empty.pem')
    writeFileSync(empty, '')
    const unusable = await doctor([], { ...env, NODE_EXTRA_CA_CERTS: empty })
    outputs.length = 0

    const broken = path.join(folder, 'broken.pem')
    writeFileSync(broken, authority.certificate.replace('MII', '!!!'))
    const unreadable = await doctor([], { ...env, NODE_EXTRA_CA_CERTS: broken })
    outputs.length = 0

    expect(missing.steps.roots.slice(1)).toEqual([
      'note NODE_EXTRA_CA_CERTS names a file that cannot be read (ENOENT), so it adds nothing',
      expect.stringMatching(/^note NODE_TLS_REJECT_UNAUTHORIZED=0 is not honoured/),
    ])
    expect(unusable.steps.roots[1]).toMatch(/^note .* a file without a PEM certificate, so it adds nothing$/)
    expect(unreadable.steps.roots[1]).toMatch(/^note .* that cannot be read, so that one is not trusted$/)
    for (const { steps } of [missing, unusable, unreadable]) {
      expect(steps['TCP/TLS'][0]).toMatch(/^FAIL .*unknown issuer/)
    }
    expect(missing.code).toBe(1)
  })

  test("with the system's roots, which Node hands on from 22.15 on, are noted before that", async () => {
    const { XKIT_BASE_URL } = await secure({ identity })

    const { steps } = await doctor([], { XKIT_BASE_URL, NODE_OPTIONS: '--use-openssl-ca' })

    const isHandedOn = typeof require('node:tls').getCACertificates === 'function'
    expect(steps.roots).toEqual(
      isHandedOn
        ? ["ok trusted: Node's own, the system's"]
        : [
            'ok trusted: those built into xkit-node',
            expect.stringMatching(/^note Node is told to use the system's roots, .*NODE_EXTRA_CA_CERTS$/),
          ],
    )
  })

  test('below 1.2 fail, and nothing is sent', async () => {
    const oldTls = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
    const { server, XKIT_BASE_URL } = await secure({ identity, ...oldTls })

    const { code, steps } = await doctor([], { XKIT_BASE_URL, NODE_EXTRA_CA_CERTS: authorityFile })

    expect(steps['TCP/TLS']).toEqual(only(/^FAIL .*TLS.*\(ERR_XKIT_TLS/))
    expectHeldBack(steps, 'credentials', 'answer')
    expect(code).toBe(1)
    expect(server.requests.count).toBe(0)
  })

  test('where somebody listens and stays silent fail at a time limit', async () => {
    const server = await startRawServer({})
    const port = new URL(server.baseUrl).port
    const [plain, bare] = await Promise.all([
      doctor([], { XKIT_BASE_URL: server.baseUrl }),
      doctor([], { XKIT_BASE_URL: `https://127.0.0.1:${port}`, XKIT_SECRET_KEY: '' }),
    ])

    expect(plain.steps['TCP/TLS'][0]).toMatch(/^FAIL .* within 8000 ms.*\(ERR_XKIT_TIMEOUT\)$/)
    expectHeldBack(plain.steps, 'credentials', 'answer')
    expect(bare.steps['TCP/TLS']).toEqual(
      only(/^FAIL no TLS connection to 127\.0\.0\.1:\d+ within 5000 ms: check /),
    )
    expect([plain.code, bare.code]).toEqual([1, 1])
  })

  test.each(['http', 'https'])('where nobody listens fail, by %s', async scheme => {
    const port = await closedPort()

    const { code, steps } = await doctor([], { XKIT_BASE_URL: `${scheme}://127.0.0.1:${port}` })

    expect(steps['TCP/TLS']).toEqual(
      only(/^FAIL No connection to .*: check .*\(ERR_XKIT_CONNECT; .*refused/i),
    )
    expectHeldBack(steps, 'credentials', 'answer')
    expect(code).toBe(1)
  })

  test('where nobody listens fail without keys too', async () => {
    const XKIT_BASE_URL = `https://127.0.0.1:${await closedPort()}`

    const { steps } = await doctor([], { XKIT_BASE_URL, XKIT_SECRET_KEY: '' })

    expect(steps['TCP/TLS']).toEqual(
      only(/^FAIL no TLS connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\): check /),
    )
  })

  test('where a plain server stands fail', async () => {
    const XKIT_BASE_URL = emulator.baseUrl.replace('http:', 'https:')

    const { code, steps } = await doctor([], { XKIT_BASE_URL })

    expect(steps['TCP/TLS']).toEqual(
      only(/^FAIL .*does not speak TLS on this port: check baseUrl \(ERR_XKIT_TLS/),
    )
    expect(code).toBe(1)
    expect(emulator.requests).toEqual([])
  })

  test('where TLS stands for a plain address fail, with the advice to say https', async () => {
    const server = await startServer({ identity, protocols: ['http/1.1'] })

    const { code, steps } = await doctor([], { XKIT_BASE_URL: `http://127.0.0.1:${server.port}` })

    expect(steps['TCP/TLS']).toEqual([
      expect.stringMatching(/^FAIL .*\(ERR_XKIT_(INVALID_RESPONSE|CONNECT)/),
      'note the server speaks TLS on this port: begin the base URL with https:',
    ])
    expect(code).toBe(1)
    expect(server.requests.count).toBe(0)
  })

  test('where what answers is no HTTP fail', async () => {
    const server = await startRawServer({
      onConnection: socket => socket.once('data', () => socket.write('SSH-2.0-Server\r\n\r\n')),
    })

    const { code, steps } = await doctor([], { XKIT_BASE_URL: server.baseUrl })

    expect(steps['TCP/TLS']).toEqual(only(/^FAIL .*not proper HTTP.*\(ERR_XKIT_INVALID_RESPONSE\)$/))
    expect(code).toBe(1)
  })
})

describe('a proxy', () => {
  const XKIT_BASE_URL = 'https://api.acme.invalid'
  const acme = authority.issue({ hosts: ['api.acme.invalid'] })

  test('that works is named without its password, and the direct steps are skipped', async () => {
    const platform = await startServer({ identity: acme })
    const password = `user:${PROXY_PASSWORD}`
    const proxy = await startProxy({ to: platform.port, password })
    const env = { XKIT_BASE_URL, NODE_EXTRA_CA_CERTS: authorityFile, HTTPS_PROXY: proxy.url(password) }

    const { code, steps } = await doctor(['--user', 'u1'], env)

    expect(steps.proxy).toEqual([
      `ok an answer came through ${proxy.url()}, with a user name or password (from HTTPS_PROXY)`,
    ])
    expect(steps.DNS).toEqual(['skip the proxy resolves the host'])
    expect(steps['TCP/TLS']).toEqual(only(/^skip not looked at directly/))
    expect(steps.answer).toEqual(only(/^ok active/))
    expect(code).toBe(0)
    expect(proxy.connects.entries.map(({ target }) => target)).toEqual(['api.acme.invalid:443'])
    expect(platform.requests.count).toBe(1)
  })

  test('that is down fails', async () => {
    const https_proxy = `user:${PROXY_PASSWORD}@127.0.0.1:${await closedPort()}`

    const { code, steps } = await doctor(['--user', 'u1'], { XKIT_BASE_URL, https_proxy })

    expect(steps.proxy).toEqual(
      only(/^FAIL through http:\/\/127\.0\.0\.1:\d+, with a .* \(from https_proxy\): .*\(ERR_XKIT_PROXY/),
    )
    expectHeldBack(steps, 'DNS', 'TCP/TLS', 'credentials', 'answer')
    expect(code).toBe(1)
  })

  test.each([
    ['wants a password', PROXY_REPLY.passwordWanted, /407.*ERR_XKIT_PROXY/],
    ['refuses', PROXY_REPLY.forbidden, /ERR_XKIT_PROXY/],
    ['answers what is no HTTP', PROXY_REPLY.otherProtocol, /ERR_XKIT_PROXY/],
    ['stays silent', PROXY_REPLY.nothing, /ERR_XKIT_(PROXY|TIMEOUT)/],
  ])('that %s fails', async (_what, reply, reason) => {
    const proxy = await startProxy({ reply })

    const { code, steps } = await doctor([], { XKIT_BASE_URL, ALL_PROXY: proxy.url() })

    expect(steps.proxy).toEqual(
      only(/^FAIL through .*, without a user name or password \(from ALL_PROXY\): /),
    )
    expect(steps.proxy[0]).toMatch(reason)
    expect(code).toBe(1)
  })

  test('that leads to a certificate of an unknown CA fails, and the platform sees no request', async () => {
    const platform = await startServer({ identity: acme })
    const proxy = await startProxy({ to: platform.port })

    const { code, steps } = await doctor([], { XKIT_BASE_URL, HTTPS_PROXY: proxy.url() })

    expect(steps.proxy).toEqual(only(/^FAIL through .*unknown issuer.*ERR_XKIT_TLS/))
    expect(code).toBe(1)
    expect(platform.requests.count).toBe(0)
  })

  test.each([
    ['with keys', {}],
    ['without keys', { XKIT_SECRET_KEY: '' }],
  ])('of a kind that the client does not know fails without being repeated, %s', async (_what, env) => {
    const HTTPS_PROXY = `socks5://user:${PROXY_PASSWORD}@proxy.invalid`

    const { code, steps } = await doctor([], { XKIT_BASE_URL, HTTPS_PROXY, ...env })

    expect(steps.proxy).toEqual(
      only(/^FAIL The environment variable HTTPS_PROXY .*\(ERR_INVALID_ARG_VALUE\)$/),
    )
    expect(outputs[0].stdout).not.toContain('proxy.invalid')
    expect(code).toBe(1)
  })

  test.each(['127.0.0.1', '127.0.0.0/8', '*'])('is exempt by NO_PROXY=%s', async NO_PROXY => {
    const server = await startServer({ identity })
    const env = { NO_PROXY, HTTPS_PROXY: 'http://proxy.invalid', NODE_EXTRA_CA_CERTS: authorityFile }

    const { code, steps } = await doctor([], { XKIT_BASE_URL: server.baseUrl, ...env })

    expect(steps.proxy).toEqual([`ok NO_PROXY exempts 127.0.0.1:${server.port} from the one in HTTPS_PROXY`])
    expect(steps['TCP/TLS']).toEqual(only(/^ok TLSv1\.3/))
    expect(steps.credentials).toEqual(only(/^note .*"active" for a user that cannot exist: check that /))
    expect(code).toBe(0)
  })

  test('is not exempt by a NO_PROXY for others, and is not tried without keys', async () => {
    const proxy = await startProxy({})
    const env = { NO_PROXY: 'other.invalid', HTTPS_PROXY: proxy.url(), XKIT_SECRET_KEY: '' }

    const { steps } = await doctor([], { XKIT_BASE_URL, ...env })

    expect(steps.proxy).toEqual(only(/^note http:\/\/127\.0\.0\.1:\d+, .* is to be used; it was not tried/))
    expect(proxy.connects.count).toBe(0)
  })

  test('is not used for a plain http address', async () => {
    const { code, steps } = await doctor([], { HTTPS_PROXY: `http://user:${PROXY_PASSWORD}@proxy.invalid` })

    expect(steps.proxy).toEqual(only(/^ok the one in HTTPS_PROXY is not used for a plain http address$/))
    expect(code).toBe(0)
  })
})

describe('credentials', () => {
  test('that the platform does not know fail', async () => {
    const { code, steps } = await doctor([], { XKIT_SECRET_KEY: 'sk_doctor_other' })

    expect(steps['TCP/TLS']).toEqual(only(/^ok /))
    expect(steps.credentials).toEqual(
      only(/^FAIL .*answered 401: .*key.*\(ERR_XKIT_INVALID_API_KEY; request id emulated-request-1\)$/),
    )
    expectHeldBack(steps, 'answer')
    expect(outputs[0].stdout).not.toContain('sk_doctor_other')
    expect(code).toBe(1)
    expect(emulator.requests).toHaveLength(1)
  })

  test('that may not do this fail in other words, for a group after one request', async () => {
    emulator.failNext({ status: 403 })

    const { code, steps } = await doctor(['--group', 'acme'])

    expect(steps.credentials).toEqual(only(/^FAIL .*answered 403: .*\(ERR_XKIT_FORBIDDEN/))
    expectHeldBack(steps, 'answer', 'group path')
    expect(code).toBe(1)
    expect(emulator.requests).toHaveLength(1)
  })
})

describe('an answer', () => {
  test.each([
    ['a page', html(200), /ERR_XKIT_INVALID_RESPONSE/],
    ['a page that is not there', html(404), /404 .*check baseUrl and paths .*\(ERR_XKIT_HTTP/],
    ['a redirect', { status: 302, headers: { location: 'https://h.invalid/' } }, /ERR_XKIT_REDIRECT/],
    ['an error', json(200, { error: TOKEN }), /ERR_XKIT_INVALID_RESPONSE/],
    ['an outage', json(503, {}), /answered 503.*ERR_XKIT_SERVER/],
    ['active without a token', json(200, flat({ authorization: { access_token: '' } })), /without a token/],
  ])('that is no connection fails, and says nothing of the keys: %s', async (_what, answer, reason) => {
    const platform = await startPlatform(answer)
    try {
      const { code, steps } = await doctor(['--user', 'u1'], { XKIT_BASE_URL: platform.baseUrl })

      expect(steps.credentials).toEqual(only(/^skip the answer does not tell/))
      expect(steps.answer).toEqual(only(/^FAIL /))
      expect(steps.answer[0]).toMatch(reason)
      expect(outputs[0].stdout).not.toMatch(/html-body-marker|h\.invalid/)
      expect(code).toBe(1)
      expect(platform.paths).toEqual(['/connections/u1/slack'])
    } finally {
      await platform.close()
    }
  })

  test('for another connector than the one asked for says so', async () => {
    const answer = json(
      200,
      flat({ connector: { slug: 'slack-v2' }, authorization: { access_token: TOKEN } }),
    )
    const platform = await startPlatform(answer)
    try {
      const { steps } = await doctor(['--user', 'u1'], { XKIT_BASE_URL: platform.baseUrl })
      expect(steps.answer).toEqual(only(/^ok active.*the platform calls the connector slack-v2$/))
    } finally {
      await platform.close()
    }
  })
})

describe('paths of the environment', () => {
  test('are shown, used, and the first that a group is asked for by', async () => {
    const { code, steps } = await doctor(['--group', 'acme'], {
      XKIT_GROUP_PATH: '/groups/{id}/connections/{slug}',
      XKIT_USER_PATH: '/users/{id}/{slug}',
    })

    expect(steps.paths).toEqual([
      'ok /users/{id}/{slug} (from XKIT_USER_PATH)',
      'ok /groups/{id}/connections/{slug} (from XKIT_GROUP_PATH)',
    ])
    expect(code).toBe(0)
  })

  test('that are not the right ones are told with the line to set', async () => {
    const { code, steps } = await doctor(['--group', 'acme'], { XKIT_GROUP_PATH: '/teams/{id}/{slug}' })

    expect(steps['group path'][0]).toMatch(/^note \/teams\/\{id\}\/\{slug\}: ERR_XKIT_/)
    expect(steps['group path'].at(-1)).toMatch(
      /^FAIL .*: set XKIT_GROUP_PATH=\/groups\/\{id\}\/connections\/\{slug\} in the environment/,
    )
    expect(code).toBe(1)
  })

  test.each(['XKIT_USER_PATH', 'XKIT_GROUP_PATH', 'XKIT_CONTEXT_PATH'])(
    '%s that is no template fails, and nothing is sent',
    async name => {
      const { code, steps } = await doctor(['--group', 'acme'], { [name]: '/nonsense' })

      expect(steps.paths).toEqual(only(new RegExp(`^FAIL .*${name} must hold {id} and {slug}`)))
      expect(steps.keys).toEqual([expect.stringMatching(/^ok /), expect.stringMatching(/^ok /)])
      expectHeldBack(steps, 'credentials', 'answer', 'group path')
      expect(code).toBe(1)
      expect(emulator.requests).toEqual([])
    },
  )
})

describe('for a group', () => {
  const [OWN, USERS, CONTEXTS] = [
    '/groups/{id}/connections/{slug}',
    '/connections/{id}/{slug}',
    '/contexts/{id}/connections/{slug}',
  ]
  const CONCRETE = [
    '/groups/acme/connections/slack',
    '/connections/acme/slack',
    '/contexts/acme/connections/slack',
  ]
  const known = json(200, flat({ authorization: { access_token: TOKEN } }))
  const unknown = json(404, { error: 'not provisioned' })
  const noPath = html(404)

  async function groupDoctor(...script) {
    const platform = await startPlatform(...script)
    try {
      const result = await doctor(['--group', 'acme'], { XKIT_BASE_URL: platform.baseUrl })
      expect(platform.paths).toEqual(CONCRETE)
      return { ...result, lines: result.steps['group path'] }
    } finally {
      await platform.close()
    }
  }

  test("the client's own path is the right one when it answers", async () => {
    const { code, steps } = await doctor(['--group', 'acme'])

    expect(steps['group path']).toEqual([
      `note ${OWN}: active`,
      `note ${USERS}: not_provisioned`,
      `note ${CONTEXTS}: not_provisioned`,
      expect.stringMatching(/^ok .* is right: there is nothing to set$/),
    ])
    expect(code).toBe(0)
    expect(asked().map(line => line.split(' ')[1].replace('/api/platform', ''))).toEqual(CONCRETE)
  })

  test.each([
    ['contexts', [noPath, unknown, known], CONTEXTS],
    ['contexts, where all paths speak JSON', [unknown, unknown, known], CONTEXTS],
    ['users', [noPath, known, noPath], USERS],
  ])('that of %s is advised when it is the one that answers', async (_what, script, right) => {
    const { code, steps, lines } = await groupDoctor(...script)

    expect(steps.credentials).toEqual(['ok the platform takes the keys'])
    expect(steps.answer).toEqual(only(/^ok active/))
    expect(lines.slice(0, 3).map(line => line.split(':')[0])).toEqual(
      [OWN, USERS, CONTEXTS].map(p => `note ${p}`),
    )
    expect(lines.slice(3)).toEqual(only(/^FAIL .*under another path: set XKIT_GROUP_PATH=/))
    expect(lines[3]).toContain(`set XKIT_GROUP_PATH=${right} in the environment (or the option paths.group)`)
    expect(lines[3].includes("unless the id is also a user's")).toBe(right === USERS)
    expect(code).toBe(1)
  })

  test('another path is advised with the hint at the id, when it only knows no such group', async () => {
    const { code, lines } = await groupDoctor(noPath, noPath, unknown)

    expect(lines).toEqual([
      `note ${OWN}: ERR_XKIT_HTTP (404)`,
      `note ${USERS}: ERR_XKIT_HTTP (404)`,
      `note ${CONTEXTS}: not_provisioned`,
      expect.stringMatching(/^FAIL .*check its id; set XKIT_GROUP_PATH=\/contexts\//),
    ])
    expect(code).toBe(1)
  })

  test('that nobody knows nothing is settled', async () => {
    const { code, steps, lines } = await groupDoctor(unknown)

    expect(steps.answer).toEqual(only(/^note not_provisioned: the platform does not know this group/))
    expect(lines[3]).toMatch(/^note not settled: /)
    expect(code).toBe(0)
  })

  test('whose paths are all unknown it says to ask', async () => {
    const { code, steps, lines } = await groupDoctor(noPath)

    expect(steps.answer).toEqual(only(/^FAIL .*404/))
    expect(lines[3]).toMatch(/^FAIL none of the known paths has groups: ask Xkit .* paths$/)
    expect(code).toBe(1)
  })

  test('a passing fault of the own path settles nothing', async () => {
    const { code, lines } = await groupDoctor(json(503, {}), known, known)

    expect(lines[3]).toMatch(/^skip .*passing fault: run this again$/)
    expect(code).toBe(0)
  })
})

test.each([
  ['an argument', ['sk_stray'], /takes no arguments/],
  ['two owners', ['--user', 'u1', '--group', 'acme'], /--user and --group exclude each other/],
  ['an empty id', ['--user', ''], /--user must not be empty/],
  ['a dot segment for a slug', ['--slug', '..'], /--slug must not be a dot segment/],
  ['an unknown option', ['--users', 'u1'], /unknown option '--users'/],
])('the wrong usage "%s" is one line on stderr and code 1', async (_what, args, reason) => {
  const { code } = await doctor(args)
  const [{ stdout, stderr }] = outputs.splice(0)

  expect(stderr).toMatch(/^xkit: [^\n]+ \(see xkit doctor --help\)\n$/)
  expect(stderr).toMatch(reason)
  expect(stderr).not.toContain('sk_stray')
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(emulator.requests).toEqual([])
})
