const { ConnectionUnavailableError } = require('..')
const { ACCESS_TOKEN, SHAPES, failureOf, flat, html, json, startPlatform } = require('./support/platform')

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())

describe.each(SHAPES)('in the %s shape', (_, shape) => {
  const noToken = { access_token: null }
  const states = [
    ['one that is not enabled', 'not_enabled', 'ERR_XKIT_NOT_ENABLED', { connection: { enabled: false } }],
    [
      'one that is not enabled and has no authorization',
      'not_enabled',
      'ERR_XKIT_NOT_ENABLED',
      { connection: { enabled: false }, authorization: undefined },
    ],
    [
      'one that is not enabled, with all else null',
      'not_enabled',
      'ERR_XKIT_NOT_ENABLED',
      { connection: { enabled: false }, authorization: null, connector: null },
    ],
    [
      'one whose callback is awaited',
      'pending',
      'ERR_XKIT_PENDING',
      { authorization: { status: 'awaiting_callback', ...noToken } },
    ],
    [
      'one whose tokens are being retrieved',
      'pending',
      'ERR_XKIT_PENDING',
      { authorization: { status: 'retrieving_tokens', access_token: '' } },
    ],
    [
      'a broken one',
      'needs_reauthorization',
      'ERR_XKIT_NEEDS_REAUTHORIZATION',
      { authorization: { status: 'error', ...noToken } },
    ],
    [
      'a broken one with an empty token',
      'needs_reauthorization',
      'ERR_XKIT_NEEDS_REAUTHORIZATION',
      { authorization: { status: 'error', access_token: '' } },
    ],
    [
      'a broken one that still holds its token',
      'needs_reauthorization',
      'ERR_XKIT_NEEDS_REAUTHORIZATION',
      { authorization: { status: 'error' } },
    ],
    [
      'one in a status nobody knows',
      'needs_reauthorization',
      'ERR_XKIT_NEEDS_REAUTHORIZATION',
      { authorization: { status: 'revoked_by_vendor', access_token: undefined } },
    ],
  ]

  test.each(states)('%s is %s and rejects with %s', async (_name, status, code, overrides) => {
    platform.replyWith(json(200, shape(overrides)))
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })

    const connection = await client.getConnection('u1', 'slack')
    const error = await failureOf(client.getAccessToken('u1', 'slack'))

    expect(connection.status).toBe(status)
    expect(connection.accessToken).toBeUndefined()
    expect(connection.connectUrl).toBe('https://acme.xkit.co/connectors/slack')
    expect(error).toBeInstanceOf(ConnectionUnavailableError)
    expect(error).toMatchObject({ code, attempts: 1, connectUrl: connection.connectUrl })
    expect(error.connection).toEqual(connection)
    expect(platform.requests).toHaveLength(2)
  })

  test('an active one has a token and no error', async () => {
    platform.replyWith(json(200, shape()))
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })

    const connection = await client.getConnection('u1', 'slack')

    expect(connection).toMatchObject({ status: 'active', accessToken: ACCESS_TOKEN })
    for (const field of ['connectUrl', 'errorCode', 'errorMessage', 'expiresAt']) {
      expect(connection[field]).toBeUndefined()
    }
    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test("the platform's own words for what broke are passed on", async () => {
    const authorization = {
      status: 'error',
      access_token: null,
      error_code: 'invalid_grant',
      error_message: 'The user revoked access.',
    }
    platform.replyWith(json(200, shape({ authorization })))

    await expect(platform.client().getConnection('u1', 'slack')).resolves.toMatchObject({
      status: 'needs_reauthorization',
      errorCode: 'invalid_grant',
      errorMessage: 'The user revoked access.',
      authorizationStatus: 'error',
      connectionId: 'con_1',
      slug: 'slack',
    })
  })

  test('an error without words has none', async () => {
    const authorization = { status: 'error', access_token: null, error_code: null }
    platform.replyWith(json(200, shape({ authorization })))

    const connection = await platform.client().getConnection('u1', 'slack')

    expect(connection.status).toBe('needs_reauthorization')
    expect(connection.errorCode).toBeUndefined()
    expect(connection.errorMessage).toBeUndefined()
  })

  test('an expiry named as a date is `expiresAt`', async () => {
    const expiresAt = new Date('2098-12-31T22:59:58.000Z')
    platform.replyWith(json(200, shape({ authorization: { expires_at: '2099-01-01T00:59:58+02:00' } })))

    await expect(platform.client().getConnection('u1', 'slack')).resolves.toHaveProperty(
      'expiresAt',
      expiresAt,
    )
  })

  test('an expiry named in seconds is `expiresAt`', async () => {
    platform.replyWith(json(200, shape({ authorization: { expires_in: 3600 } })))

    const before = Date.now()
    const { expiresAt } = await platform.client().getConnection('u1', 'slack')
    const after = Date.now()

    // A second either way for a clock that is read in whole seconds.
    expect(expiresAt.getTime()).toBeGreaterThanOrEqual(before + 3_599_000)
    expect(expiresAt.getTime()).toBeLessThanOrEqual(after + 3_601_000)
  })

  test.each([
    ['expires_at', null],
    ['expires_at', 'soon'],
    ['expires_at', ''],
    ['expires_in', null],
    ['expires_in', 1e300],
  ])('an undocumented `%s` of %p costs no token', async (field, value) => {
    platform.replyWith(json(200, shape({ authorization: { [field]: value } })))

    const connection = await platform.client().getConnection('u1', 'slack')

    expect(connection.accessToken).toBe(ACCESS_TOKEN)
    expect(connection.expiresAt).toBeUndefined()
  })
})

test('an owner whom the platform does not know is not_provisioned', async () => {
  platform.replyWith(json(404, { error: 'not found' }))
  const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })

  const connection = await client.getConnection('u1', 'slack')
  const error = await failureOf(client.getAccessToken('u1', 'slack'))

  expect(connection).toMatchObject({
    status: 'not_provisioned',
    connectUrl: 'https://acme.xkit.co/connectors/slack',
  })
  expect(error).toBeInstanceOf(ConnectionUnavailableError)
  expect(error).toMatchObject({ code: 'ERR_XKIT_NOT_PROVISIONED', attempts: 1 })
  expect(error.connection).toEqual(connection)
  expect(platform.requests).toHaveLength(2)
})

describe('connectUrl', () => {
  const notEnabled = connector => json(200, flat({ connection: { enabled: false }, connector }))

  test('names the connector that the platform names, else the one asked for', async () => {
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co' })
    platform.replyWith(notEnabled({ slug: 'slack-v2' }), notEnabled(null), notEnabled({ slug: null }))

    const urls = []
    for (let i = 0; i < 3; i++) urls.push((await client.getConnection('u1', 'slack')).connectUrl)

    expect(urls).toEqual([
      'https://acme.xkit.co/connectors/slack-v2',
      'https://acme.xkit.co/connectors/slack',
      'https://acme.xkit.co/connectors/slack',
    ])
  })

  test('names the connector asked for when the name from the platform is too long to be one', async () => {
    platform.replyWith(notEnabled({ slug: 'x'.repeat(1025) }))

    await expect(
      platform.client({ catalogUrl: 'https://acme.xkit.co' }).getConnection('u1', 'slack'),
    ).resolves.toHaveProperty('connectUrl', 'https://acme.xkit.co/connectors/slack')
  })

  test('is absent without a catalog, on the connection and on the error', async () => {
    platform.replyWith(notEnabled())
    const client = platform.client()

    expect((await client.getConnection('u1', 'slack')).connectUrl).toBeUndefined()
    expect((await failureOf(client.getAccessToken('u1', 'slack'))).connectUrl).toBeUndefined()
  })

  test.each([
    '',
    ' ',
    '.',
    '..',
    'a/b',
    '../../login',
    '//evil.example',
    'https://evil.example/',
    '\\evil.example',
    '?next=https://evil.example',
    '#top',
    '%2e%2e',
    '%2F..%2F',
    '@evil.example',
    'a\nb',
    'a\u0000b',
  ])('stays in the catalog when the platform names the connector %j', async slug => {
    platform.replyWith(notEnabled({ slug }))
    const client = platform.client({ catalogUrl: 'https://acme.xkit.co/apps' })

    const { connectUrl } = await client.getConnection('u1', 'slack')
    const url = new URL(connectUrl)
    const [, ...segments] = url.pathname.split('/')

    expect(url.href).toBe(connectUrl)
    expect(url.origin).toBe('https://acme.xkit.co')
    expect(url.search + url.hash + url.username).toBe('')
    expect(segments).toEqual(['apps', 'connectors', expect.any(String)])
    expect(['slack', slug]).toContain(decodeURIComponent(segments[2]))
    expect(segments[2]).not.toBe('')
  })
})

// Each of these could be read as a state by a client that looks at the body, or at the status, alone.
describe('an outage is no state:', () => {
  const notEnabled = flat({ connection: { enabled: false } })
  const broken = flat({ authorization: { status: 'error', access_token: null } })
  const raw = (status, body) => ({ status, headers: { 'content-type': 'application/json' }, body })

  test.each([
    ['a 503 with the body of a state', json(503, notEnabled), 'ERR_XKIT_SERVER'],
    ['a 500 with the body of a state', json(500, broken), 'ERR_XKIT_SERVER'],
    ['a 502 of a proxy', html(502), 'ERR_XKIT_SERVER'],
    ['a 429 with the body of a state', json(429, notEnabled), 'ERR_XKIT_RATE_LIMITED'],
    ['a 401 with the body of a state', json(401, notEnabled), 'ERR_XKIT_INVALID_API_KEY'],
    ['a 403 with the body of a state', json(403, broken), 'ERR_XKIT_FORBIDDEN'],
    ['a 400 with the body of a state', json(400, broken), 'ERR_XKIT_HTTP'],
    ['a 302 with the body of a state', json(302, notEnabled, { location: '/' }), 'ERR_XKIT_REDIRECT'],
    ['a page with 200', html(200), 'ERR_XKIT_INVALID_RESPONSE'],
    ['an object with 200 that is no answer', json(200, { status: 'ok' }), 'ERR_XKIT_INVALID_RESPONSE'],
    ['an error with 200', json(200, { error: 'not found' }), 'ERR_XKIT_INVALID_RESPONSE'],
    ['a page with 404', html(404), 'ERR_XKIT_HTTP'],
    ['plain text with 404', { status: 404, body: '404 page not found\n' }, 'ERR_XKIT_HTTP'],
    ['nothing with 404', { status: 404 }, 'ERR_XKIT_HTTP'],
    ['a string with 404', raw(404, '"not found"'), 'ERR_XKIT_HTTP'],
    ['a list with 404', raw(404, '[{"error":"not found"}]'), 'ERR_XKIT_HTTP'],
    ['null with 404', raw(404, 'null'), 'ERR_XKIT_HTTP'],
    ['half an object with 404', raw(404, '{"error":'), 'ERR_XKIT_HTTP'],
  ])('%s', async (_, answer, code) => {
    platform.replyWith(answer)
    const client = platform.client({ maxRetries: 0, catalogUrl: 'https://acme.xkit.co' })

    for (const method of ['getConnection', 'getAccessToken']) {
      const error = await failureOf(client[method]('u1', 'slack'))
      expect(error).not.toBeInstanceOf(ConnectionUnavailableError)
      expect(error).toMatchObject({ name: 'XkitApiError', code, status: answer.status })
      expect(error.connectUrl).toBeUndefined()
    }
    expect(platform.requests).toHaveLength(2)
  })
})
