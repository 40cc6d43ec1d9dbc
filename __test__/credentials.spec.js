// Keys that a function gives: when it is called, for whom, and what becomes of the calls that wait for it or were refused.

const { XkitClient, XkitApiError, XkitError, XkitNetworkError } = require('..')
const { startRedis } = require('./support/redis-rigs.js')
const { closeRigs, deferred, rejection, settlesWithin, track } = require('./support/rigs.js')
const { testsWith } = require('./support/tools.js')
const { announceKeys } = require('./support/known-secrets.js')
const { flat, gate, json, startPlatform } = require('./support/platform.js')

const withRedis = testsWith('redis-server')
const OLD = { publishableKey: 'pk_old', secretKey: 'sk_old_7c1f0a62d9e84b51a3c7f6e2' }
const NEW = { publishableKey: 'pk_new', secretKey: 'sk_new_93ab5d17c40e4f68b2a9d3e1' }
const headerOf = ({ publishableKey, secretKey }) =>
  `Basic ${Buffer.from(`${publishableKey}:${secretKey}`).toString('base64')}`

for (const keys of [OLD, NEW]) announceKeys(keys)
afterEach(closeRigs)

const ok = json(200, flat())

/** A platform that takes these keys, and a client whose keys come from a list, the last of them for ever. */
async function rig({ taken = [NEW], given = [NEW], ...options } = {}) {
  const headers = taken.map(headerOf)
  const platform = track(
    await startPlatform(({ headers: { authorization } }) =>
      headers.includes(authorization) ? ok : json(401, {}),
    ),
  )
  const credentials = jest.fn(async () => given[Math.min(credentials.mock.calls.length, given.length) - 1])
  const xkit = new XkitClient({ baseUrl: platform.origin, credentials, ...options })
  const seen = () => platform.requests.map(({ headers: { authorization } }) => authorization)
  return { platform, credentials, xkit, seen }
}

test('the function is called before the first request, once for all who wait', async () => {
  const { xkit, credentials, seen } = await rig({ catalogUrl: 'https://acme.test' })
  expect(xkit.connectorUrl('slack')).toBe('https://acme.test/connectors/slack')
  expect(credentials).not.toHaveBeenCalled()

  await Promise.all(['u1', 'u2', 'u3'].map(id => xkit.getAccessToken(id, 'slack')))
  await xkit.getConnection('u4', 'slack')

  expect(credentials).toHaveBeenCalledTimes(1)
  expect(seen()).toEqual(Array(4).fill(headerOf(NEW)))
  expect(xkit.stats()).toMatchObject({ calls: 4, requests: 4, failures: 0 })
})

test('an abort ends the attempt with other keys, too, with its own reason', async () => {
  const { xkit, platform } = await rig({ given: [OLD, NEW] })
  const held = gate(ok)
  platform.replyWith(json(401, {}), held.step)
  const abort = new AbortController()
  const aborted = rejection(xkit.getAccessToken('u1', 'slack', { signal: abort.signal }))
  while (platform.requests.length < 2) await platform.nextRequest()

  const reason = new Error('changed my mind')
  abort.abort(reason)

  expect(await aborted).toBe(reason)
  held.open()
})

test('a function that is not asynchronous will do', async () => {
  const { xkit, seen } = await rig({ credentials: () => NEW })
  await xkit.getAccessToken('u1', 'slack')
  expect(seen()).toEqual([headerOf(NEW)])
})

test('after a 401 it is called once for all who were refused, and each call is made again, once', async () => {
  const { xkit, credentials, platform, seen } = await rig({ taken: [OLD], given: [OLD, NEW] })
  await xkit.getAccessToken('u0', 'slack')
  // From now on the old keys are revoked.
  const answers = ({ headers: { authorization } }) => (authorization === headerOf(NEW) ? ok : json(401, {}))
  platform.replyWith(answers)

  const owners = ['u1', 'u2', 'u3', { group: 'g1' }]
  await Promise.all(owners.map(owner => xkit.getAccessToken(owner, 'slack')))
  expect(credentials).toHaveBeenCalledTimes(2)
  expect(seen().sort()).toEqual([...Array(4).fill(headerOf(NEW)), ...Array(4).fill(headerOf(OLD))].sort())

  await xkit.getAccessToken('u5', 'slack')
  expect(seen().at(-1)).toBe(headerOf(NEW))
  expect(credentials).toHaveBeenCalledTimes(2)
  // The counters go on, and a call that is made again counts twice.
  expect(xkit.stats()).toMatchObject({ calls: 10, requests: 10, failures: 4, inFlight: 0 })
})

test('keys that have not changed are not tried again', async () => {
  const { xkit, credentials, seen } = await rig({ taken: [], given: [OLD] })
  for (const calls of [2, 3]) {
    const error = await rejection(xkit.getAccessToken('u1', 'slack'))
    expect(error).toBeInstanceOf(XkitApiError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_INVALID_API_KEY', attempts: 1 })
    expect(credentials).toHaveBeenCalledTimes(calls)
  }
  expect(seen()).toHaveLength(2)
})

test('new keys that are refused too are the end of it', async () => {
  const { xkit, credentials, seen } = await rig({ taken: [], given: [OLD, NEW] })
  const error = await rejection(xkit.getAccessToken('u1', 'slack'))
  expect(error).toMatchObject({ code: 'ERR_XKIT_INVALID_API_KEY', attempts: 2 })
  expect(seen()).toEqual([headerOf(OLD), headerOf(NEW)])
  expect(credentials).toHaveBeenCalledTimes(2)
})

test('a call that was under way with the old keys ends by itself, and close() waits for it', async () => {
  const slow = gate(ok)
  const { xkit, platform } = await rig({ given: [OLD, NEW] })
  platform.replyWith(slow.step, json(401, {}), ok)
  const arrived = platform.nextRequest()
  const first = xkit.getAccessToken('u1', 'slack')
  await arrived
  await xkit.getAccessToken('u2', 'slack')

  let isClosed = false
  const closed = xkit.close().then(() => {
    isClosed = true
  })
  await new Promise(setImmediate)
  expect(isClosed).toBe(false)
  slow.open()
  expect(await first).toBe(flat().authorization.access_token)
  await closed
  expect((await rejection(xkit.getAccessToken('u3', 'slack'))).code).toBe('ERR_XKIT_CLOSED')
})

describe('a client that is closed while a call waits for the function', () => {
  test('makes that call with the keys, and no other; close() waits for it', async () => {
    const keys = deferred()
    const { xkit, seen } = await rig({ credentials: () => keys.promise })
    const call = xkit.getAccessToken('u1', 'slack')
    let isClosed = false
    const closed = xkit.close().then(() => {
      isClosed = true
    })
    expect((await rejection(xkit.getAccessToken('u2', 'slack'))).code).toBe('ERR_XKIT_CLOSED')
    await new Promise(setImmediate)
    expect(isClosed).toBe(false)

    keys.resolve(NEW)
    expect(await call).toBe(flat().authorization.access_token)
    await closed
    expect(seen()).toEqual([headerOf(NEW)])
    expect((await rejection(xkit.getAccessToken('u2', 'slack'))).code).toBe('ERR_XKIT_CLOSED')
  })

  test('makes a call again that was refused before, with the keys that come', async () => {
    const keys = deferred()
    const credentials = jest.fn()
    credentials.mockResolvedValueOnce(OLD).mockReturnValueOnce(keys.promise)
    const { xkit, platform, seen } = await rig({ credentials })
    const call = xkit.getAccessToken('u1', 'slack')
    while (credentials.mock.calls.length < 2) await new Promise(setImmediate)
    const closed = xkit.close()
    keys.resolve(NEW)
    expect(await call).toBe(flat().authorization.access_token)
    await closed
    expect(seen()).toEqual([headerOf(OLD), headerOf(NEW)])
    expect(platform.requests).toHaveLength(2)
  })

  test('ends it at the limit of close', async () => {
    const keys = deferred()
    const { xkit, seen } = await rig({ credentials: () => keys.promise })
    const call = rejection(xkit.getAccessToken('u1', 'slack'))
    await xkit.close({ timeoutMs: 0 })
    expect(await call).toMatchObject({ code: 'ERR_XKIT_CLOSED', retryable: false, attempts: 0 })
    keys.resolve(NEW)
    await new Promise(setImmediate)
    expect(seen()).toEqual([])
  })
})

test('what was cached under the old keys is asked for again', async () => {
  const { xkit, platform, seen } = await rig({ given: [OLD, NEW], taken: [OLD], cache: true })
  await xkit.getAccessToken('u1', 'slack')
  await xkit.getAccessToken('u1', 'slack')
  expect(seen()).toHaveLength(1)
  platform.replyWith(json(401, {}), ok)
  await xkit.getAccessToken('u2', 'slack')
  await xkit.getAccessToken('u1', 'slack')
  expect(seen()).toEqual([headerOf(OLD), headerOf(NEW), headerOf(NEW)])
})

describe('a function that fails', () => {
  const failure = new Error('the vault is sealed')

  test('is told as the cause, in an error for each caller, and called again by the next call', async () => {
    const credentials = jest.fn()
    credentials.mockRejectedValueOnce(failure).mockResolvedValue(NEW)
    const { xkit, seen } = await rig({ credentials })
    const errors = await Promise.all(['u1', 'u2'].map(id => rejection(xkit.getAccessToken(id, 'slack'))))
    for (const error of errors) {
      expect(error).toBeInstanceOf(XkitError)
      expect(error).toMatchObject({ code: 'ERR_XKIT_MISSING_CREDENTIALS', retryable: true, attempts: 0 })
      expect(error.cause).toBe(failure)
    }
    expect(errors[0]).not.toBe(errors[1])
    expect(credentials).toHaveBeenCalledTimes(1)
    await xkit.getAccessToken('u1', 'slack')
    expect(seen()).toEqual([headerOf(NEW)])
  })

  test('is a failed call in the counters, as it is in the traces', async () => {
    const { xkit } = await rig({ credentials: () => Promise.reject(failure), cache: true })
    await rejection(xkit.getAccessToken('u1', 'slack'))
    await rejection(xkit.getConnection('u2', 'slack'))
    expect(xkit.stats()).toMatchObject({ calls: 2, failures: 2, requests: 0, cacheMisses: 2 })
  })

  test('after a 401 leaves that error, with its own as the cause', async () => {
    const credentials = jest.fn()
    credentials.mockResolvedValueOnce(OLD).mockRejectedValueOnce(failure)
    const { xkit } = await rig({ credentials })
    const error = await rejection(xkit.getAccessToken('u1', 'slack'))
    expect(error.code).toBe('ERR_XKIT_INVALID_API_KEY')
    expect(error.cause).toMatchObject({ code: 'ERR_XKIT_MISSING_CREDENTIALS', cause: failure })
  })

  test.each([
    ['nothing', undefined, /^credentials\(\) must be an object/],
    ['half a pair', { publishableKey: 'pk_half' }, /^credentials\(\)\.secretKey must be a string/],
    ['another field', { ...NEW, region: 'eu' }, /^credentials\(\) has an unknown field "region"/],
    [
      'a key with a colon',
      { ...NEW, publishableKey: 'pk:1' },
      /^The option publishableKey must not contain a colon/,
    ],
  ])('by giving %s is not retryable', async (_, given, words) => {
    const { xkit, seen } = await rig({ credentials: () => given })
    const error = await rejection(xkit.getAccessToken('u1', 'slack'))
    expect(error).toMatchObject({ code: 'ERR_XKIT_MISSING_CREDENTIALS', retryable: false })
    expect(error.cause.message).toMatch(words)
    expect(`${error.cause.message}`).not.toContain(NEW.secretKey)
    expect(seen()).toEqual([])
  })

  test('by never settling costs a call its own limit, and an abort ends it at once', async () => {
    const keys = deferred()
    const { xkit, seen } = await rig({ credentials: () => keys.promise })
    const abort = new AbortController()
    const aborted = rejection(xkit.getAccessToken('u1', 'slack', { signal: abort.signal }))
    const late = rejection(xkit.getAccessToken('u2', 'slack', { timeoutMs: 30 }))
    const patient = xkit.getAccessToken('u3', 'slack')
    abort.abort(failure)
    expect(await aborted).toBe(failure)
    const error = await late
    expect(error).toBeInstanceOf(XkitNetworkError)
    expect(error).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 0 })
    keys.resolve(NEW)
    await patient
    expect(seen()).toEqual([headerOf(NEW)])
  })
})

test('the time that the keys took is the time of the call', async () => {
  const { xkit, platform } = await rig({
    credentials: () => new Promise(resolve => setTimeout(resolve, 300, NEW)),
  })
  platform.replyWith(() => {})
  const call = () => xkit.getAccessToken('u1', 'slack', { timeoutMs: 500 })
  const { reason } = await settlesWithin(600, call)
  expect(reason).toMatchObject({ code: 'ERR_XKIT_TIMEOUT', attempts: 1 })
})

withRedis.test('the names in a fleet follow the keys', async () => {
  const redis = await startRedis()
  const { xkit, platform } = await rig({ given: [OLD, NEW], taken: [OLD], cache: { redis: redis.url } })
  const namespaces = async () => new Set((await redis.keys()).map(key => key.match(/\{[^}]+\}/)?.[0]))
  const grewTo = async size => {
    while ((await namespaces()).size < size) await new Promise(setImmediate)
  }
  await xkit.getAccessToken('u1', 'slack')
  await grewTo(1)
  platform.replyWith(json(401, {}), ok)
  await xkit.getAccessToken('u2', 'slack')
  await grewTo(2)
  expect((await namespaces()).size).toBe(2)
})

test('the environment has no say beside it, and neither may the keys', async () => {
  process.env.XKIT_PUBLISHABLE_KEY = 'pk_environment'
  process.env.XKIT_SECRET_KEY = 'sk_environment'
  try {
    const { xkit, seen } = await rig()
    await xkit.getAccessToken('u1', 'slack')
    expect(seen()).toEqual([headerOf(NEW)])
  } finally {
    delete process.env.XKIT_PUBLISHABLE_KEY
    delete process.env.XKIT_SECRET_KEY
  }
  for (const name of ['publishableKey', 'secretKey']) {
    expect(() => new XkitClient({ credentials: () => NEW, [name]: NEW[name] })).toThrow(
      `options.${name} cannot be given beside options.credentials`,
    )
  }
  expect(() => new XkitClient({ credentials: NEW })).toThrow(
    'options.credentials must be a function that returns { publishableKey, secretKey }, but is of type object',
  )
})
