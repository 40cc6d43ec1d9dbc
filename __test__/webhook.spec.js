// Owns the proof of handleWebhook: a hint that may only make the next call ask the platform.
'use strict'

const { once } = require('node:events')
const http = require('node:http')
const { buffer } = require('node:stream/consumers')
const vm = require('node:vm')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')
const { flat, gate, json, startPlatform } = require('./support/platform')

const MARKER = 'marker-7Hq2'

const cleanUps = []

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** A client with a cache, and an emulator in which one id is known as all kinds of owner. */
async function start({ cache = true } = {}) {
  const connections = { one: { slack: {}, github: {} }, two: { slack: {} } }
  const emulator = await startEmulator({ users: connections, groups: connections, contexts: connections })
  cleanUps.push(() => emulator.close())
  const { baseUrl, publishableKey, secretKey } = emulator
  return { emulator, xkit: new XkitClient({ baseUrl, publishableKey, secretKey, cache }) }
}

const idle = () => new XkitClient({ publishableKey: 'pk', secretKey: 'sk' })

function eventOf(type, ownerId, slug, more) {
  return { event_type: type, payload: { connector: { slug }, context: { external_id: ownerId }, ...more } }
}

function thrownBy(call) {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('expected the call to throw')
}

describe('an event', () => {
  const event = eventOf('connection.enabled', 'one', 'slack', { connection: { external_id: 'c1' } })
  const text = JSON.stringify(event)
  const padded = Buffer.from(`....${text}....`)
  const read = { type: 'connection.enabled', ownerId: 'one', slug: 'slack', connectionId: 'c1' }

  test.each([
    ['a string', text],
    ['a Buffer', Buffer.from(text)],
    ['bytes', new TextEncoder().encode(text)],
    ['a part of other bytes', padded.subarray(4, -4)],
    ['an object', event],
    ['an object without a prototype', Object.assign(Object.create(null), event)],
  ])('is read from %s', (_what, body) => {
    expect(idle().handleWebhook(body)).toEqual(read)
  })

  test.each([undefined, null])('need not name a connection (%p)', connection => {
    const body = eventOf('connection.disabled', 'one', 'slack', { connection })
    expect(idle().handleWebhook(body)).toStrictEqual({
      type: 'connection.disabled',
      ownerId: 'one',
      slug: 'slack',
    })
  })

  test.each([
    ['nothing', {}],
    ['a number', 7],
    ['text', 'c1'],
    ['a boolean', true],
    ['a list', ['c1']],
    ['an id of null', { external_id: null }],
    ['an empty id', { external_id: '' }],
    ['an id of lists', { external_id: ['c1'] }],
    ['an id with a control character', { external_id: 'c\n1' }],
    ['half a character', { external_id: '\ud83d' }],
    ['a long id', { external_id: 'c'.repeat(1025) }],
    ['a number that is no integer', { external_id: 1.5 }],
  ])('whose connection is %s has no id of a connection', (_what, connection) => {
    const body = JSON.stringify(eventOf('x', 'one', 'slack', { connection }))
    expect(idle().handleWebhook(body)).toStrictEqual({ type: 'x', ownerId: 'one', slug: 'slack' })
  })

  test.each([7, 0, -7, Number.MAX_SAFE_INTEGER])(
    'may name the owner and the connection by the number %p',
    id => {
      const body = eventOf('x', id, 'slack', { connection: { external_id: id } })
      const ids = { ownerId: String(id), connectionId: String(id) }
      expect(idle().handleWebhook(JSON.stringify(body))).toMatchObject(ids)
      expect(idle().handleWebhook(body)).toMatchObject(ids)
    },
  )

  test('may begin with a byte order mark', () => {
    expect(idle().handleWebhook(`\ufeff${text}`)).toEqual(read)
    expect(idle().handleWebhook(Buffer.from(`\ufeff${text}`))).toEqual(read)
    expect(idle().handleWebhook(Buffer.from(`\ufeff${text}`).toString())).toEqual(read)
  })

  test('is read from bytes of another realm, where that has no TextDecoder, as with jsdom in jest', () => {
    const bytes = vm.runInNewContext('Uint8Array.from(codes)', { codes: [...Buffer.from(text)] })
    expect(bytes).not.toBeInstanceOf(Uint8Array)
    const { TextDecoder } = globalThis
    delete globalThis.TextDecoder
    try {
      expect(idle().handleWebhook(bytes)).toEqual(read)
    } finally {
      globalThis.TextDecoder = TextDecoder
    }
  })

  test.each(['connection.enabled', 'connection.disabled', 'connection.errored', 'something.else', '⚡'])(
    'may be of the type %p',
    type => expect(idle().handleWebhook(eventOf(type, 'one', 'slack')).type).toBe(type),
  )

  test('may hold more than is known', () => {
    const body = { ...eventOf('x', 'one', 'slack', { more: [1] }), id: 7 }
    expect(idle().handleWebhook(JSON.stringify(body))).toEqual({ type: 'x', ownerId: 'one', slug: 'slack' })
  })

  test.each(['__proto__', 'constructor', 'a/b', 'é', '🦀', ' padded '])('may name the owner %p', id => {
    expect(idle().handleWebhook(JSON.stringify(eventOf('x', id, id)))).toMatchObject({
      ownerId: id,
      slug: id,
    })
  })

  test('of exactly 64 KiB is read', () => {
    expect(idle().handleWebhook(text.padEnd(65_536))).toEqual(read)
    expect(idle().handleWebhook(Buffer.from(text.padEnd(65_536)))).toEqual(read)
  })
})

describe('handling an event', () => {
  const owners = [{ user: 'one' }, { group: 'one' }, { context: 'one' }]
  const bystanders = [
    ['two', 'slack'],
    [{ group: 'two' }, 'slack'],
    ['one', 'github'],
  ]

  test.each(['connection.enabled', 'connection.disabled', 'unheard-of'])(
    'of the type %p makes the next call for that id of any kind ask again, and no other',
    async type => {
      const { emulator, xkit } = await start()
      const all = [...owners.map(owner => [owner, 'slack']), ...bystanders]
      const askAll = () => Promise.all(all.map(([owner, slug]) => xkit.getAccessToken(owner, slug)))
      const before = await askAll()
      emulator.requests.length = 0
      const rotated = owners.map(owner => emulator.rotateToken(owner, 'slack'))
      expect(await askAll()).toEqual(before)
      expect(emulator.requests).toHaveLength(0)

      xkit.handleWebhook(eventOf(type, 'one', 'slack'))

      expect(await askAll()).toEqual([...rotated, ...before.slice(owners.length)])
      expect(emulator.requests.map(({ path }) => path).sort()).toEqual([
        '/api/platform/connections/one/slack',
        '/api/platform/contexts/one/connections/slack',
        '/api/platform/groups/one/connections/slack',
      ])
    },
  )

  test('grants nothing and marks nothing as unavailable: the platform says what is so', async () => {
    const { emulator, xkit } = await start()
    xkit.handleWebhook(eventOf('connection.disabled', 'one', 'slack'))
    expect((await xkit.getConnection('one', 'slack')).status).toBe('active')

    emulator.setConnection('one', 'slack', { enabled: false })
    xkit.handleWebhook(eventOf('connection.enabled', 'one', 'slack'))
    expect((await xkit.getConnection('one', 'slack')).status).toBe('not_enabled')
  })

  test('drops what is kept of an owner whose id is a number in it', async () => {
    const emulator = await startEmulator({ users: { 7: { slack: {} } } })
    cleanUps.push(() => emulator.close())
    const { baseUrl, publishableKey, secretKey } = emulator
    const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
    await xkit.getAccessToken('7', 'slack')
    const rotated = emulator.rotateToken('7', 'slack')

    xkit.handleWebhook(eventOf('connection.enabled', 7, 'slack', { connection: 3 }))

    expect(await xkit.getAccessToken('7', 'slack')).toBe(rotated)
  })

  test('sends nothing by itself, known owner or not', async () => {
    const { emulator, xkit } = await start()
    xkit.handleWebhook(eventOf('connection.enabled', 'one', 'slack'))
    xkit.handleWebhook(eventOf('connection.enabled', 'nobody', 'nothing'))

    expect(xkit.stats()).toMatchObject({ calls: 0, requests: 0 })
    expect(emulator.requests).toHaveLength(0)
  })

  test('keeps what is under way from being cached or joined', async () => {
    const active = token => json(200, flat({ authorization: { access_token: token } }))
    const older = gate(active('older-token'))
    const platform = await startPlatform(older.step, active('newer-token'))
    cleanUps.push(() => platform.close())
    const xkit = platform.client({ cache: true })
    const asked = platform.nextRequest()
    const first = xkit.getAccessToken('one', 'slack')
    await asked
    xkit.handleWebhook(eventOf('connection.disabled', 'one', 'slack'))

    expect(await xkit.getAccessToken('one', 'slack')).toBe('newer-token')
    older.open()
    expect(await first).toBe('older-token')
    expect(await xkit.getAccessToken('one', 'slack')).toBe('newer-token')
    expect(platform.requests).toHaveLength(2)
  })

  test('works without a cache and after close()', async () => {
    const { xkit } = await start({ cache: false })
    const read = { type: 'x', ownerId: 'one', slug: 'slack' }
    expect(xkit.handleWebhook(eventOf('x', 'one', 'slack'))).toEqual(read)
    await xkit.close()
    expect(xkit.handleWebhook(eventOf('x', 'one', 'slack'))).toEqual(read)
  })

  test('works with what the emulator delivers', async () => {
    const { emulator, xkit } = await start()
    const events = []
    const server = http.createServer(async (request, response) => {
      events.push(xkit.handleWebhook(await buffer(request)))
      response.writeHead(204).end()
    })
    cleanUps.push(() => new Promise(resolve => server.close(resolve)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    await xkit.getAccessToken({ group: 'one' }, 'slack')
    const rotated = emulator.rotateToken({ group: 'one' }, 'slack')

    const hook = `http://127.0.0.1:${server.address().port}/`
    const event = { type: 'connection.enabled', owner: { group: 'one' }, slug: 'slack', connectionId: 'c1' }
    await emulator.sendWebhook(hook, event)

    expect(events).toEqual([
      { type: 'connection.enabled', ownerId: 'one', slug: 'slack', connectionId: 'c1' },
    ])
    expect(await xkit.getAccessToken({ group: 'one' }, 'slack')).toBe(rotated)
  })
})

describe('what is no event', () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['a boolean', true],
    ['a symbol', Symbol(MARKER)],
    ['a function', () => MARKER],
    ['a list', [MARKER]],
    ['what cannot be read', proxy],
  ])('such as %s has the wrong type', (_what, body) => {
    const error = thrownBy(() => idle().handleWebhook(body))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.code).toBe('ERR_INVALID_ARG_TYPE')
    expect(error.message).toMatch(/^body must be/)
    expect(error.message).not.toContain(MARKER)
  })

  const valid = eventOf('x', MARKER, MARKER)
  const inherited = Object.create(valid)
  const without = path => {
    const event = structuredClone(valid)
    const last = path.at(-1)
    const holder = path.slice(0, -1).reduce((value, name) => value[name], event)
    delete holder[last]
    return event
  }

  test.each([
    ['an empty object', {}, 'event_type is missing'],
    ['empty text', '', 'not JSON'],
    ['no bytes', Buffer.alloc(0), 'not JSON'],
    ['text', MARKER, 'not JSON'],
    ['a form', `event_type=${MARKER}`, 'not JSON'],
    ['HTML', `<html>${MARKER}</html>`, 'not JSON'],
    ['half an event', JSON.stringify(valid).slice(0, -9), 'not JSON'],
    ['two events', JSON.stringify(valid).repeat(2), 'not JSON'],
    ['invalid UTF-8', Buffer.from(JSON.stringify(valid)).fill(0xff, 20, 21), 'not JSON'],
    ['UTF-16', Buffer.from(JSON.stringify(valid), 'utf16le'), 'not JSON'],
    ['JSON null', 'null', 'event_type is missing'],
    ['a JSON list', JSON.stringify([valid]), 'event_type is missing'],
    ['JSON text', JSON.stringify(MARKER), 'event_type is missing'],
    ['deep nesting', '['.repeat(60_000), 'not JSON'],
    ['deep but whole nesting', '['.repeat(30_000) + ']'.repeat(30_000), 'event_type is missing'],
    ['inherited fields', inherited, 'event_type is missing'],
    ['an event in __proto__', `{"__proto__":${JSON.stringify(valid)}}`, 'event_type is missing'],
    ['no type', without(['event_type']), 'event_type is missing'],
    ['no payload', without(['payload']), 'payload.connector.slug is missing'],
    ['no connector', without(['payload', 'connector']), 'payload.connector.slug is missing'],
    ['no slug', without(['payload', 'connector', 'slug']), 'payload.connector.slug is missing'],
    ['no context', without(['payload', 'context']), 'payload.context.external_id is missing'],
    ['no owner', without(['payload', 'context', 'external_id']), 'payload.context.external_id is missing'],
    ['an empty type', eventOf('', MARKER, MARKER), 'event_type must not be empty'],
    ['a type of lines', eventOf(`a\n${MARKER}`, MARKER, MARKER), 'control characters'],
    ['a type that is none', eventOf({ MARKER }, MARKER, MARKER), 'event_type is not a string'],
    ['an owner of a fraction', eventOf('x', 1.5, MARKER), 'payload.context.external_id is not a string'],
    [
      'an owner of more digits than a number holds',
      `{"event_type":"x","payload":{"connector":{"slug":"s"},"context":{"external_id":9007199254740993}}}`,
      'payload.context.external_id is not a string',
    ],
    ['a slug of digits', eventOf('x', MARKER, 7), 'payload.connector.slug is not a string'],
    ['an owner of null', eventOf('x', null, MARKER), 'payload.context.external_id is not a string'],
    ['a blank owner', eventOf('x', '  ', MARKER), 'must not be empty'],
    ['a dot segment', eventOf('x', '..', MARKER), 'dot segment'],
    ['a long slug', eventOf('x', MARKER, 's'.repeat(1025)), '1024 bytes'],
    ['a lone surrogate', eventOf('x', MARKER, '\ud800'), 'well-formed'],
    ['a slug of lists', eventOf('x', MARKER, [MARKER]), 'payload.connector.slug is not a string'],
    ['a payload of text', { event_type: 'x', payload: MARKER }, 'payload.connector.slug is missing'],
    ['more than 64 KiB', JSON.stringify(valid).padEnd(65_537), '65536 bytes'],
    ['more than 64 KiB of bytes', Buffer.from(JSON.stringify(valid).padEnd(65_537)), '65536 bytes'],
    ['more than 64 KiB as UTF-8', JSON.stringify(eventOf('x', 'é'.repeat(33_000), MARKER)), '65536 bytes'],
  ])('such as %s is refused', (_what, body, message) => {
    const error = thrownBy(() => idle().handleWebhook(body))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.code).toBe('ERR_INVALID_ARG_VALUE')
    expect(error.message).toMatch(/^body\b/)
    expect(error.message).toContain(message)
    expect(error.stack).not.toContain(MARKER)
  })

  test('evicts nothing', async () => {
    const { emulator, xkit } = await start()
    await xkit.getAccessToken('one', 'slack')
    thrownBy(() => xkit.handleWebhook(eventOf('', 'one', 'slack')))
    await xkit.getAccessToken('one', 'slack')
    expect(emulator.requests).toHaveLength(1)
  })

  test('does not become one by a polluted prototype', () => {
    const pollution = eventOf('x', MARKER, MARKER)
    for (const [name, value] of Object.entries(pollution)) {
      Object.prototype[name] = value
    }
    try {
      expect(thrownBy(() => idle().handleWebhook('{}')).message).toMatch(/event_type is missing/)
    } finally {
      for (const name of Object.keys(pollution)) delete Object.prototype[name]
    }
  })
})
