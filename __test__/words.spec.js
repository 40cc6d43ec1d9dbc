// What the messages say to somebody who made an ordinary mistake. That they hold no value is tested where each argument is.

const { MessageChannel, markAsUncloneable } = require('node:worker_threads')
const { XkitClient, ConnectionUnavailableError } = require('..')
const { KEYS, closeRigs, rejection, track } = require('./support/rigs.js')
const { flat, html, json, startPlatform } = require('./support/platform.js')

afterEach(closeRigs)

const client = options => new XkitClient({ ...KEYS, baseUrl: 'http://127.0.0.1:9', ...options })

function thrownBy(work) {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** What a call to a platform that answers so rejects with. */
async function refusal(answer, { path = '', owner = 'u1', ...options } = {}) {
  const platform = track(await startPlatform(answer))
  const xkit = client({ baseUrl: platform.origin + path, ...options })
  return rejection(xkit.getAccessToken(owner, 'slack'))
}

describe('an owner', () => {
  test.each([
    ['undefined', undefined],
    ['null', null],
    ['of type function', () => {}],
  ])('that is %s is told what an owner may be', async (what, owner) => {
    const words = `owner must be a user's id as a string, or { user: id }, { group: id } or { context: id }, but is ${what}`
    for (const method of ['getAccessToken', 'getConnection']) {
      const error = await rejection(client()[method](owner, 'slack'))
      expect([error.code, error.message]).toEqual(['ERR_INVALID_ARG_TYPE', words])
    }
    expect(thrownBy(() => client().invalidate(owner, 'slack')).message).toBe(words)
  })

  test('whose id is undefined is told so', async () => {
    const error = await rejection(client().getAccessToken({ group: undefined }, 'slack'))
    expect(error.message).toBe(
      'owner must name exactly one of: user, group, context; undefined fields do not count',
    )
  })
})

describe('the cache', () => {
  test.each([
    ['of type number', 60],
    ['of type string', 'true'],
    ['null', null],
  ])('that is %s is told what it may be', (what, cache) => {
    expect(thrownBy(() => client({ cache })).message).toBe(
      `options.cache must be true, false, or an object such as { ttlMs: 60000 }, but is ${what}`,
    )
  })

  test('with a Redis whose variable is not set is no cache without a fleet', () => {
    const error = thrownBy(() => client({ cache: { redis: process.env.REDIS_URL_THAT_NOBODY_SET } }))
    expect(error.code).toBe('ERR_INVALID_ARG_TYPE')
    expect(error.message).toMatch(/^options\.cache\.redis is undefined: set the variable that it comes from/)
  })
})

describe('a webhook', () => {
  const advice = 'let a parser for JSON run before this handler, or pass the text of the request'
  const empty = `body is not a webhook event: event_type is missing; ${advice}`

  test.each([
    ['undefined, as without a body parser', undefined, `body must be an event, but is undefined: ${advice}`],
    ['{}, as with a parser for something else', {}, empty],
    ['a promise', Promise.resolve('{}'), empty],
    ['a Request', new Request('http://127.0.0.1', { method: 'POST', body: '{}' }), empty],
  ])('that is %s says what is missing', (_, body, words) => {
    expect(thrownBy(() => client().handleWebhook(body)).message).toBe(words)
  })
})

describe('an answer', () => {
  test.each([
    ['u1', '/connections/{id}/{slug}'],
    [{ group: 'g1' }, '/groups/{id}/connections/{slug}'],
    [{ context: 'c1' }, '/contexts/{id}/connections/{slug}'],
  ])('to a base URL without its path says which path was asked, for %j', async (owner, template) => {
    const { code, message } = await refusal(html(404), { owner })
    expect(code).toBe('ERR_XKIT_HTTP')
    expect(message).toMatch(/answered 404 without a body of the platform: check baseUrl and paths/)
    expect(message.endsWith(`(the path was ${template})`)).toBe(true)
    expect(message).not.toMatch(/u1|g1|c1/)
  })

  test('that is a page says so too, with the path of a base URL that has one', async () => {
    const { message } = await refusal(html(200), { path: '/api/v2/' })
    expect(message).toMatch(/ \(the path was \/api\/v2\/connections\/\{id\}\/\{slug\}\)$/)
  })

  test.each([
    [300, 'a choice between several addresses'],
    [304, '"not modified"'],
    [305, 'a demand to use a proxy'],
    [308, 'a redirect'],
  ])('with %d is told for what it is', async (status, words) => {
    const { code, message } = await refusal({ status })
    expect(code).toBe('ERR_XKIT_REDIRECT')
    expect(message).toContain(`answered ${status}, ${words}`)
  })

  test('with 206 is no whole answer', async () => {
    const error = await refusal(json(206, flat()))
    expect([error.code, error.status]).toEqual(['ERR_XKIT_INVALID_RESPONSE', 206])
    expect(error.message).toContain('answered 206 with a part of an answer')
  })
})

describe('without a token', () => {
  const notEnabled = json(200, flat({ connection: { enabled: false } }))

  test.each([
    ['an unknown owner', json(404, {}), 'ERR_XKIT_NOT_PROVISIONED'],
    ['a connection that is not enabled', notEnabled, 'ERR_XKIT_NOT_ENABLED'],
  ])('%s may be a mistyped slug', async (_, answer, code) => {
    const error = await refusal(answer)
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(/check the (id and the )?slug/)])
  })

  test('the message says why there is no link, where no catalog is known', async () => {
    const bare = await refusal(notEnabled)
    expect(bare.connectUrl).toBeUndefined()
    expect(bare.message).toMatch(
      /\(there is no link, since neither catalogUrl nor XKIT_CATALOG_URL is set\)$/,
    )
    const linked = await refusal(notEnabled, { catalogUrl: 'https://acme.test' })
    expect(linked.message).toMatch(/ at https:\/\/acme\.test\/connectors\/slack$/)
  })
})

describe('a key', () => {
  test.each([
    ['a zero width space', '\u200b', 'U+200B (a zero width space)'],
    ['a no-break space', '\u00a0', 'U+00A0 (a no-break space)'],
    ['a soft hyphen', '\u00ad', 'U+00AD (a soft hyphen)'],
    ['a smart quote', '\u201d', 'U+201D (a typographic quotation mark)'],
    ['a byte order mark', '\ufeff', 'U+FEFF (a byte order mark)'],
    ['another alphabet', '\u0430', 'U+0430'],
  ])('with %s is refused, with its place and without the key', (_, character, name) => {
    const rest = ` must contain ASCII characters only, but character 5 is ${name}`
    for (const option of ['publishableKey', 'secretKey']) {
      const error = thrownBy(() => client({ [option]: `live${character}hunter2` }))
      expect([error.code, error.message]).toEqual(['ERR_INVALID_ARG_VALUE', `The option ${option}${rest}`])
    }
    process.env.XKIT_SECRET_KEY = `live${character}hunter2`
    try {
      const error = thrownBy(() => client({ secretKey: undefined }))
      expect(error.message).toBe(`The environment variable XKIT_SECRET_KEY${rest}`)
    } finally {
      delete process.env.XKIT_SECRET_KEY
    }
  })

  test('with a colon is refused as a user name, and taken as a password', async () => {
    expect(thrownBy(() => client({ publishableKey: 'pk:1' })).message).toBe(
      'The option publishableKey must not contain a colon',
    )
    const platform = track(await startPlatform(json(200, flat())))
    await client({ secretKey: 's:k:', baseUrl: platform.origin }).getAccessToken('u1', 'slack')
    const expected = `Basic ${Buffer.from(`${KEYS.publishableKey}:s:k:`).toString('base64')}`
    expect(platform.requests[0].headers.authorization).toBe(expected)
  })

  test.each(['\n', '\r\n', ' ', ''])('whose variable holds %j counts as unset', async blank => {
    process.env.XKIT_SECRET_KEY = blank
    try {
      const error = await rejection(client({ secretKey: undefined }).getAccessToken('u1', 'slack'))
      expect(error.code).toBe('ERR_XKIT_MISSING_CREDENTIALS')
      expect(error.message).toContain('set the environment variable XKIT_SECRET_KEY')
    } finally {
      delete process.env.XKIT_SECRET_KEY
    }
  })
})

test.each([
  ['an active one', { status: 'active', accessToken: 't' }],
  ['a state that nobody knows', { status: 'revoked' }],
  ['an object without a state', {}],
  ['a token', 'token'],
  ['nothing', undefined],
])('an error cannot be made of what is no unavailable connection: %s', (_, connection) => {
  const failure = { message: 'm', code: 'ERR_XKIT_NOT_ENABLED' }
  const error = thrownBy(() => new ConnectionUnavailableError(failure, connection))
  expect(error).toMatchObject({ name: 'TypeError', code: expect.stringMatching(/^ERR_INVALID_ARG_/) })
  expect(error.message).toMatch(/^connection/)
})

describe('a method without its client', () => {
  const CALLS = [
    'getAccessToken',
    'getGroupAccessToken',
    'getConnection',
    'withAccessToken',
    'fetch',
    'waitForConnection',
  ]
  const message =
    'A method of XkitClient was called without its client: write client.getAccessToken(…), or use the handle ' +
    'client.for(owner, slug), whose methods work by themselves'

  test.each([...CALLS, 'close'])('%s rejects, and says what to write', async name => {
    for (const receiver of [undefined, {}, Object.create(client())]) {
      const error = await rejection(client()[name].call(receiver, 'u1', 'slack', () => {}))
      expect(error).toMatchObject({
        name: 'TypeError',
        code: 'ERR_INVALID_THIS',
        message,
      })
    }
  })

  test.each(['invalidate', 'handleWebhook', 'connectorUrl', 'stats', 'for'])('%s throws that', name => {
    const event = { event_type: 't', payload: { connector: { slug: 's' }, context: { external_id: 'u1' } } }
    const args = name === 'handleWebhook' ? [event] : ['u1', 'slack']
    const { [name]: detached } = client()
    expect(thrownBy(() => detached(...args))).toMatchObject({ code: 'ERR_INVALID_THIS', message })
  })
})

// Nothing in older versions of Node can refuse it.
const onNode22 = typeof markAsUncloneable === 'function' ? test : test.skip

onNode22('a client cannot be cloned or posted', () => {
  expect(thrownBy(() => structuredClone(client())).name).toBe('DataCloneError')
  const { port1, port2 } = new MessageChannel()
  expect(thrownBy(() => port1.postMessage(client())).name).toBe('DataCloneError')
  port1.close()
  port2.close()
})
