const { XkitClient } = require('..')
const {
  ACCESS_TOKEN,
  AUTHORIZATION,
  PUBLISHABLE_KEY,
  SECRET_KEY,
  SHAPES,
  failureOf,
  flat,
  gate,
  html,
  json,
  startPlatform,
} = require('./support/platform')

const active = json(200, flat())

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
beforeEach(() => platform.replyWith(active))
afterAll(() => platform.close())

/** Resolves once `condition` holds; the test's own limit ends the wait. */
async function until(condition) {
  while (!condition()) await new Promise(setImmediate)
}

describe('a request', () => {
  test.each([
    ['a plain string, who is a user', 'u1', '/connections/u1/slack'],
    ['{ user }', { user: 'u1' }, '/connections/u1/slack'],
    ['{ group }', { group: 'acme' }, '/groups/acme/connections/slack'],
    ['{ context }', { context: 'c1' }, '/contexts/c1/connections/slack'],
  ])('goes to the path of %s', async (_, owner, path) => {
    const client = platform.client()

    await expect(client.getAccessToken(owner, 'slack')).resolves.toBe(ACCESS_TOKEN)
    await expect(client.getConnection(owner, 'slack')).resolves.toMatchObject({ status: 'active' })

    expect(platform.paths).toEqual([path, path])
  })

  test('for a group has a method of its own', async () => {
    await expect(platform.client().getGroupAccessToken('acme', 'slack')).resolves.toBe(ACCESS_TOKEN)

    expect(platform.paths).toEqual(['/groups/acme/connections/slack'])
  })

  test('is a GET with the keys as Basic auth, and nothing but what the platform needs', async () => {
    await platform.client().getAccessToken('u1', 'slack')

    const [{ method, headers, rawHeaders, body }] = platform.requests
    expect(method).toBe('GET')
    expect(headers).toMatchObject({
      host: platform.host,
      authorization: AUTHORIZATION,
      accept: 'application/json',
      'accept-encoding': 'identity',
    })
    expect(rawHeaders.filter(name => name.toLowerCase() === 'authorization')).toHaveLength(1)
    expect(body).toBe('')
    for (const name of [
      'content-length',
      'content-type',
      'transfer-encoding',
      'cookie',
      'referer',
      'origin',
    ]) {
      expect(headers).not.toHaveProperty(name)
    }
  })

  test('sends back no cookie that the platform sets', async () => {
    platform.replyWith(json(200, flat(), { 'set-cookie': 'session=1; Path=/' }))
    const client = platform.client()

    await client.getAccessToken('u1', 'slack')
    await client.getAccessToken('u1', 'slack')

    expect(platform.requests.map(({ headers }) => headers.cookie)).toEqual([undefined, undefined])
  })

  test.each([
    ['', '/connections/u1/slack'],
    ['/', '/connections/u1/slack'],
    ['/v1', '/v1/connections/u1/slack'],
    ['/v1/', '/v1/connections/u1/slack'],
    ['/eu/tenants/7', '/eu/tenants/7/connections/u1/slack'],
    ['/tenant%2Fone/', '/tenant%2Fone/connections/u1/slack'],
  ])('keeps the prefix of a base URL that ends in "%s"', async (suffix, path) => {
    await platform.client({ baseUrl: `${platform.origin}${suffix}` }).getAccessToken('u1', 'slack')

    expect(platform.requests.map(({ url }) => url)).toEqual([path])
  })

  test('follows a path template for its kind of owner and leaves the others alone', async () => {
    const client = platform.client({
      paths: { group: '/v2/teams/{id}/links/{slug}', context: '/by-slug/{slug}/of/{id}' },
    })

    await client.getAccessToken('u1', 'slack')
    await client.getGroupAccessToken('acme', 'slack')
    await client.getAccessToken({ context: 'c1' }, 'slack')

    expect(platform.paths).toEqual([
      '/connections/u1/slack',
      '/v2/teams/acme/links/slack',
      '/by-slug/slack/of/c1',
    ])
  })

  test('puts an id that looks like a placeholder into its own place only', async () => {
    await platform.client({ paths: { user: '/{id}/of/{slug}' } }).getAccessToken('{slug}', '{id}')

    expect(platform.paths.map(decodeURIComponent)).toEqual(['/{slug}/of/{id}'])
  })

  test('of each client carries the keys of that client', async () => {
    const clients = ['a', 'b'].map(name =>
      platform.client({ publishableKey: `pk_fake_${name}`, secretKey: `sk_fake_${name}` }),
    )

    for (const client of clients) await client.getAccessToken('u1', 'slack')

    expect(
      platform.requests.map(({ headers }) => atob(headers.authorization.slice('Basic '.length))),
    ).toEqual(['pk_fake_a:sk_fake_a', 'pk_fake_b:sk_fake_b'])
  })
})

describe.each(SHAPES)('an answer in the %s shape', (_, shape) => {
  test.each(['access_token', 'credential', 'access_credential'])('may name the token `%s`', async field => {
    const authorization = { access_token: undefined, [field]: 'fake-token-by-name' }
    platform.replyWith(json(200, shape({ authorization })))
    const client = platform.client()

    await expect(client.getAccessToken('u1', 'slack')).resolves.toBe('fake-token-by-name')
    await expect(client.getConnection('u1', 'slack')).resolves.toHaveProperty(
      'accessToken',
      'fake-token-by-name',
    )
  })

  test('gives the details of the connection', async () => {
    platform.replyWith(json(200, shape()))

    await expect(platform.client().getConnection('u1', 'slack')).resolves.toMatchObject({
      status: 'active',
      accessToken: ACCESS_TOKEN,
      slug: 'slack',
      connectionId: 'con_1',
      connectorName: 'Slack',
      authorizationId: '4711',
      authorizationStatus: 'active',
      displayLabel: 'Acme HQ',
    })
  })

  test.each([
    ['a string', '"id-1"', 'id-1'],
    ['a number', '17', '17'],
    ['a number that no double holds', '9007199254740993', '9007199254740993'],
  ])('may number its objects with %s', async (_name, literal, id) => {
    const body = JSON.stringify(shape({ connection: { id: '#' }, authorization: { id: '#' } }))
    platform.replyWith({ status: 200, body: body.replaceAll('"#"', literal) })

    await expect(platform.client().getConnection('u1', 'slack')).resolves.toMatchObject({
      connectionId: id,
      authorizationId: id,
    })
  })

  test('may hold fields that nobody knows yet, at every level', async () => {
    const unknown = { beta: true, list: [1, { deep: null }], nothing: null }
    const body = shape({ connection: unknown, connector: unknown, authorization: unknown })
    platform.replyWith(json(200, { ...body, ...unknown }))

    await expect(platform.client().getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test('may leave out the connector and all details', async () => {
    const body = shape({
      connection: { id: undefined },
      connector: undefined,
      authorization: { id: undefined, display_label: undefined, authorizer: undefined },
    })
    platform.replyWith(json(200, body))

    const connection = await platform.client().getConnection('u1', 'slack')

    expect(connection.accessToken).toBe(ACCESS_TOKEN)
    for (const detail of ['connectionId', 'connectorName', 'authorizationId', 'displayLabel']) {
      expect(connection[detail]).toBeUndefined()
    }
  })
})

describe('the functions on the default client', () => {
  // A registry of its own gives each test a default client that nobody has used.
  function load() {
    let xkit
    jest.isolateModules(() => {
      xkit = require('..')
    })
    return xkit
  }

  function setKeys() {
    process.env.XKIT_PUBLISHABLE_KEY = PUBLISHABLE_KEY
    process.env.XKIT_SECRET_KEY = SECRET_KEY
    process.env.XKIT_BASE_URL = platform.baseUrl
  }

  afterEach(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith('XKIT_')) delete process.env[name]
  })

  test('read the environment at the first call, not when the package is loaded', async () => {
    const { getAccessToken, getGroupAccessToken } = load()
    setKeys()

    await expect(getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
    await expect(getGroupAccessToken('acme', 'slack')).resolves.toBe(ACCESS_TOKEN)

    expect(platform.paths).toEqual(['/connections/u1/slack', '/groups/acme/connections/slack'])
    expect(platform.requests.map(({ headers }) => headers.authorization)).toEqual([
      AUTHORIZATION,
      AUTHORIZATION,
    ])
  })

  test('take every kind of owner', async () => {
    const { getAccessToken } = load()
    setKeys()

    await getAccessToken({ context: 'c1' }, 'slack')

    expect(platform.paths).toEqual(['/contexts/c1/connections/slack'])
  })

  test('take the paths of the environment', async () => {
    const { getAccessToken, getGroupAccessToken } = load()
    setKeys()
    process.env.XKIT_USER_PATH = '/v2/users/{id}/{slug}'
    process.env.XKIT_GROUP_PATH = '/v2/{slug}/groups/{id}'
    process.env.XKIT_CONTEXT_PATH = '/v2/contexts/{id}/{slug}'

    await getAccessToken('u1', 'slack')
    await getGroupAccessToken('acme', 'slack')
    await getAccessToken({ context: 'c1' }, 'slack')

    expect(platform.paths).toEqual(['/v2/users/u1/slack', '/v2/slack/groups/acme', '/v2/contexts/c1/slack'])
  })

  test.each([
    ['XKIT_USER_PATH', '/value-marker', /^The environment variable XKIT_USER_PATH must hold {id} and {slug}/],
    ['XKIT_GROUP_PATH', 'value-marker', /^The environment variable XKIT_GROUP_PATH must /],
    ['XKIT_CONTEXT_PATH', '/value-marker/{id}', /^The environment variable XKIT_CONTEXT_PATH must /],
    ['XKIT_CATALOG_URL', 'value-marker', /^The environment variable XKIT_CATALOG_URL must /],
    ['XKIT_BASE_URL', 'value-marker', /^The environment variable XKIT_BASE_URL must /],
  ])('reject while %s is wrong, name it, and try again at the next call', async (name, value, message) => {
    const { getGroupAccessToken } = load()
    setKeys()
    process.env[name] = value

    const error = await failureOf(getGroupAccessToken('acme', 'slack'))

    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE', message: expect.stringMatching(message) })
    expect(error.message).not.toContain('value-marker')
    expect(platform.requests).toEqual([])
    delete process.env[name]
    setKeys()
    await expect(getGroupAccessToken('acme', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test('keep the client that the first call has built', async () => {
    const { getAccessToken } = load()
    setKeys()
    await getAccessToken('u1', 'slack')

    process.env.XKIT_SECRET_KEY = 'sk_fake_another'
    await getAccessToken('u1', 'slack')

    expect(platform.requests.map(({ headers }) => headers.authorization)).toEqual([
      AUTHORIZATION,
      AUTHORIZATION,
    ])
  })

  test('reject while keys are missing, and try again at the next call', async () => {
    const { getAccessToken, getGroupAccessToken, XkitError } = load()

    for (const call of [getAccessToken, getGroupAccessToken]) {
      const error = await failureOf(call('u1', 'slack'))
      expect(error).toBeInstanceOf(XkitError)
      expect(error).toMatchObject({ code: 'ERR_XKIT_MISSING_CREDENTIALS', attempts: 0 })
    }
    expect(platform.requests).toHaveLength(0)

    setKeys()
    await expect(getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })

  test('send the owner to the catalog of the environment', async () => {
    const { getAccessToken } = load()
    setKeys()
    process.env.XKIT_CATALOG_URL = 'https://acme.xkit.co'
    platform.replyWith(json(200, flat({ connection: { enabled: false } })))

    const error = await failureOf(getAccessToken('u1', 'slack'))

    expect(error).toMatchObject({
      code: 'ERR_XKIT_NOT_ENABLED',
      connectUrl: 'https://acme.xkit.co/connectors/slack',
    })
  })

  test('read what a client takes from the environment, too', async () => {
    setKeys()
    process.env.XKIT_SECRET_KEY = `${SECRET_KEY}\n`

    await new XkitClient().getAccessToken('u1', 'slack')

    expect(platform.requests.map(({ headers }) => headers.authorization)).toEqual([AUTHORIZATION])
  })
})

describe('connectorUrl', () => {
  test.each([
    ['https://acme.xkit.co', 'slack', 'https://acme.xkit.co/connectors/slack'],
    ['https://acme.xkit.co/', 'slack', 'https://acme.xkit.co/connectors/slack'],
    ['https://apps.acme.example/catalog', 'slack', 'https://apps.acme.example/catalog/connectors/slack'],
    ['https://apps.acme.example/catalog/', 'slack', 'https://apps.acme.example/catalog/connectors/slack'],
    ['https://acme.xkit.co', 'a/b c', 'https://acme.xkit.co/connectors/a%2Fb%20c'],
  ])('in the catalog %s of %s is %s', (catalogUrl, slug, url) => {
    expect(platform.client({ catalogUrl }).connectorUrl(slug)).toBe(url)
  })

  test('is undefined without a catalog', () => {
    expect(platform.client().connectorUrl('slack')).toBeUndefined()
  })
})

describe('stats', () => {
  const none = {
    calls: 0,
    requests: 0,
    retries: 0,
    coalesced: 0,
    cacheHits: 0,
    cacheMisses: 0,
    failures: 0,
    rejections: 0,
    repairs: 0,
    inFlight: 0,
    queued: 0,
  }

  test('begin at zero', () => {
    expect(platform.client().stats()).toEqual(none)
  })

  test('count calls, requests, retries and failures, but no wrong argument and no ordinary state', async () => {
    const client = platform.client({ maxRetries: 1 })
    platform.replyWith(
      active,
      json(200, flat({ connection: { enabled: false } })),
      json(503, {}),
      active,
      html(404),
      json(503, {}),
    )

    await client.getAccessToken('u1', 'slack')
    await failureOf(client.getAccessToken('not-enabled', 'slack'))
    await client.getConnection('retried', 'slack')
    await failureOf(client.getConnection('fails', 'slack'))
    await failureOf(client.getConnection('fails-twice', 'slack'))
    await failureOf(client.getConnection('..', 'slack'))

    expect(client.stats()).toEqual({ ...none, calls: 5, requests: 7, retries: 2, failures: 2 })
  })

  test('tell what is under way and what waits for its turn', async () => {
    const { open, step } = gate(active)
    platform.replyWith(step)
    const client = platform.client({ maxConcurrency: 2 })

    const calls = ['u1', 'u2', 'u3', 'u4', 'u5'].map(owner => client.getAccessToken(owner, 'slack'))
    await until(() => platform.requests.length === 2)
    await until(() => client.stats().queued === 3)
    expect(client.stats()).toMatchObject({ calls: 5, requests: 2, inFlight: 2 })

    open()
    await Promise.all(calls)
    expect(client.stats()).toEqual({ ...none, calls: 5, requests: 5 })
  })
})

describe('a closed client', () => {
  test('rejects calls and sends nothing', async () => {
    const client = platform.client()
    await client.close()

    for (const call of [
      client.getAccessToken('u1', 'slack'),
      client.getGroupAccessToken('acme', 'slack'),
      client.getConnection('u1', 'slack'),
    ]) {
      expect(await failureOf(call)).toMatchObject({ code: 'ERR_XKIT_CLOSED', attempts: 0, retryable: false })
    }
    expect(platform.requests).toHaveLength(0)
  })

  test('lets the calls under way end, and is closed when they have', async () => {
    const { open, step } = gate(active)
    platform.replyWith(({ url }, response) => (url.includes('/held/') ? step(response) : active))
    const client = platform.client()
    const arrived = platform.nextRequest()
    const held = client.getAccessToken('held', 'slack')
    await arrived

    let isClosed = false
    const closed = client.close().then(() => {
      isClosed = true
    })
    expect(await failureOf(client.getAccessToken('late', 'slack'))).toMatchObject({ code: 'ERR_XKIT_CLOSED' })
    // Another client's whole call is long enough for a close that does not wait.
    await platform.client().getAccessToken('other', 'slack')
    expect(isClosed).toBe(false)

    open()
    await expect(held).resolves.toBe(ACCESS_TOKEN)
    await closed
  })

  test('may be closed again, used or not', async () => {
    const unused = platform.client()
    const used = platform.client()
    await used.getAccessToken('u1', 'slack')

    for (const client of [unused, used]) {
      await expect(Promise.all([client.close(), client.close()])).resolves.toEqual([undefined, undefined])
      await expect(client.close()).resolves.toBeUndefined()
    }
  })

  test('is what `await using` leaves behind', async () => {
    const client = platform.client()

    await expect(client[Symbol.asyncDispose]()).resolves.toBeUndefined()

    expect(await failureOf(client.getAccessToken('u1', 'slack'))).toMatchObject({ code: 'ERR_XKIT_CLOSED' })
  })

  test('is the one of a class that is derived from it', async () => {
    class OwnClient extends XkitClient {
      async close() {
        this.isClosed = true
        await super.close()
      }
    }
    const { baseUrl } = platform
    const client = new OwnClient({ publishableKey: PUBLISHABLE_KEY, secretKey: SECRET_KEY, baseUrl })

    await client[Symbol.asyncDispose]()

    expect(client.isClosed).toBe(true)
    expect(await failureOf(client.getAccessToken('u1', 'slack'))).toMatchObject({ code: 'ERR_XKIT_CLOSED' })
  })

  test('closes no other client', async () => {
    const [closed, open] = [platform.client(), platform.client()]
    await closed.close()

    await expect(open.getAccessToken('u1', 'slack')).resolves.toBe(ACCESS_TOKEN)
  })
})
