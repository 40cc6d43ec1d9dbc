// Owns what whoever can write to the fleet's Redis, answers in its place, or sends webhooks can do to the fleet.
'use strict'

const net = require('node:net')
const { setTimeout: delay } = require('node:timers/promises')
const { cacheOn, isEntry, until, useFleet, webhookFor } = require('./support/fleet')
const { startMember, startRedis } = require('./support/redis-rigs')
const { listen } = require('./support/rigs')
const { testsWith } = require('./support/tools')

const { describe, test } = testsWith('redis-server')

jest.setTimeout(60_000)

const fleet = useFleet()
const { entryKeys, fakeRedis, later, listening, newClient } = fleet

const MIB = 1024 * 1024

describe('a name in Redis', () => {
  test('is not shared by paths that put the digits of a place where others have an owner or a slug', async () => {
    const at = user => newClient(undefined, { paths: { user } })
    await at('/{id}/1/{slug}').getAccessToken('u1', 'slack')
    await entryKeys()

    await at('/{id}/{slug}/1').getAccessToken('u1', 'slack')

    expect(fleet.tokens.total()).toBe(2)
    expect(await entryKeys(2)).toHaveLength(2)
  })

  test('needs a secret that is long enough to derive keys from', () => {
    const code = 'ERR_INVALID_ARG_VALUE'
    const open = (secretKey, cache) => newClient(cacheOn(fleet.redis.url, { cache }), { secretKey })
    expect(() => open('short-secret-15')).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining('cache.encryptionKey') }),
    )
    expect(() => open('short-secret-15')).not.toThrow(/short-secret/)
    open('short-secret-15', { encryptionKey: 'e'.repeat(32) })
    open('secret-of-16-chr')
  })
})

describe('what answers in place of a Redis', () => {
  /** Writes the chunk without an end, as fast as it is read. */
  const pour = (socket, head, chunk) => {
    const more = () => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('error', () => {})
    socket.on('drain', more)
    socket.write(head)
    more()
  }
  const flood = Buffer.alloc(64 * 1024, 'x')
  const message = Buffer.from('*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n'.repeat(2000))
  /** Confirms a subscription, and pours after that. */
  const subscribed = (head, chunk) => socket =>
    socket.once('data', bytes => {
      if (!/subscribe/i.test(bytes)) return
      const channel = /\r\n(xkit:[^\r]*)\r\n/.exec(bytes)[1]
      pour(socket, `*3\r\n$9\r\nsubscribe\r\n$${channel.length}\r\n${channel}\r\n:1\r\n${head}`, chunk)
    })

  test.each([
    ['a text without an end', socket => socket.once('data', () => pour(socket, '$8000000000\r\n', flood))],
    ['a line without an end', socket => socket.once('data', () => pour(socket, '+', flood))],
    [
      'lists in lists',
      socket => socket.once('data', () => pour(socket, '', Buffer.from('*999\r\n'.repeat(9000)))),
    ],
    ['a message without an end', subscribed('*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$8000000000\r\n', flood)],
    ['messages without an end', subscribed('', message)],
  ])('with %s takes a bounded amount of memory', async (_what, onConnection) => {
    // In another process, since this one pours.
    const url = await fakeRedis(onConnection)
    const member = later(await startMember(fleet.tokens.options({ redis: url })))
    const before = await member.call('memory')
    await member.get('u1')
    let most = before
    const end = performance.now() + 2000
    while (performance.now() < end) {
      most = Math.max(most, await member.call('memory'))
      await delay(20)
    }

    expect((most - before) / MIB).toBeLessThan(64)
    expect((await member.get('u2')).token).toBe(fleet.tokens.tokenOf('u2'))
  })

  test('is named as what it is', async () => {
    const url = await fakeRedis(socket => socket.once('data', () => pour(socket, '$8000000000\r\n', flood)))
    const client = newClient({ redis: { url, commandTimeoutMs: 10_000 } })

    await client.getAccessToken('u1', 'slack')

    expect(client.stats().fleet).toMatchObject({ isBypassed: true, lastError: 'a reply of more than 1 MiB' })
  })

  test('sends nobody elsewhere, but for a member of a cluster', async () => {
    const elsewhere = later(await listen(net.createServer()))
    const url = await fakeRedis(socket =>
      socket.on('data', () => socket.write(`-MOVED 1 127.0.0.1:${elsewhere.port}\r\n`)),
    )
    const client = newClient({ redis: { url, commandTimeoutMs: 10_000 } })

    await client.getAccessToken('u1', 'slack')

    expect(client.stats().fleet).toMatchObject({ isBypassed: true, lastError: 'MOVED' })
    expect(elsewhere.connections.count).toBe(0)
  })

  test('and speaks no TLS where TLS is expected is left alone at once, and named', async () => {
    const plain = later(await startRedis())
    const url = plain.url.replace('redis:', 'rediss:')
    const client = newClient({ redis: { url, commandTimeoutMs: 50_000 } })

    await client.getAccessToken('u1', 'slack')

    expect(client.stats().fleet).toMatchObject({
      errors: 1,
      isBypassed: true,
      lastError: 'TLS on a plain port',
    })
  })
})

describe('a lock that no member has set', () => {
  // Whoever waits for it waits far longer than the test lasts.
  const PATIENTLY = { attemptTimeoutMs: 50_000, timeoutMs: 100_000 }
  const lockOf = async owner => {
    await newClient().getAccessToken(owner, 'slack')
    const [entry] = await entryKeys()
    await fleet.redis.ask('DEL', entry)
    return `${entry}:lock`
  }
  const holder = 'h'.repeat(16)

  test.each([
    ['has no end', lock => ['SET', lock, `0${holder}`]],
    ['ends later than any', lock => ['SET', lock, `0${holder}`, 'PX', '60000']],
    ['says that its holder failed, for ever', lock => ['SET', lock, `F${holder}`]],
    ['is no lock', lock => ['SET', lock, 'x', 'PX', '1000']],
    ['is empty', lock => ['SET', lock, '', 'PX', '1000']],
  ])('and %s delays nobody', async (_what, command) => {
    const lock = await lockOf('u1')
    await fleet.redis.ask(...command(lock))

    const token = await newClient(undefined, PATIENTLY).getAccessToken('u1', 'slack')

    expect(token).toBe(fleet.tokens.tokenOf('u1'))
    await entryKeys()
  })

  test('and is renewed for ever delays a call by attemptTimeoutMs at most', async () => {
    const lock = await lockOf('u1')
    const renew = () => fleet.redis.ask('SET', lock, `0${holder}`, 'PX', '1900')
    await renew()
    const renewing = setInterval(renew, 50)
    try {
      const client = newClient(undefined, { attemptTimeoutMs: 1000, timeoutMs: 50_000 })
      const start = performance.now()
      await client.getAccessToken('u1', 'slack')
      const took = performance.now() - start

      expect(took).toBeGreaterThan(950)
      expect(took).toBeLessThan(10_000)
    } finally {
      clearInterval(renewing)
    }
  })

  test('or entries that change all the time delay a call by a few commands', async () => {
    await newClient().getAccessToken('u1', 'slack')
    const [entry] = await entryKeys()
    const epoch = await fleet.redis.ask(
      'GET',
      (await fleet.redis.keys()).find(key => key.endsWith(':epoch')),
    )
    let count = 0
    const change = () => fleet.redis.ask('SET', entry, Buffer.concat([epoch, Buffer.from(`junk ${count++}`)]))
    let isOver = false
    const changing = (async () => {
      while (!isOver) await change()
    })()
    await until(() => count > 3)

    await newClient(undefined, PATIENTLY).getAccessToken('u1', 'slack')

    isOver = true
    await changing
    expect(fleet.tokens.total()).toBe(2)
  })
})

describe('webhooks about owners that somebody invents', () => {
  const FLOOD = 5000

  test('write nothing, and drop no token of the owners that exist', async () => {
    const owners = Array.from({ length: 50 }, (_, index) => `u${index}`)
    const [user, hook] = [newClient(), newClient()]
    await hook.getAccessToken('warm', 'slack')
    for (const owner of owners) await user.getAccessToken(owner, 'slack')
    await entryKeys(owners.length + 1)
    await listening(2)
    // From now on, from its own memory.
    for (const owner of owners) await user.getAccessToken(owner, 'slack')
    const keys = (await fleet.redis.keys()).length
    const { hits, misses } = user.stats().fleet

    for (let index = 0; index < FLOOD; index++) hook.handleWebhook(webhookFor(`invented-${index}`))
    hook.handleWebhook(webhookFor('u0'))
    fleet.tokens.revoke('u0')
    await until(async () => (await user.getAccessToken('u0', 'slack')) === fleet.tokens.tokenOf('u0'), 20_000)
    for (const owner of owners) await user.getAccessToken(owner, 'slack')

    expect(fleet.tokens.total()).toBe(owners.length + 2)
    const after = user.stats().fleet
    // One for u0; of the others, what shares its bits with one of 15,000 invented names.
    expect(after.hits + after.misses - hits - misses).toBeLessThan(6)
    expect((await fleet.redis.keys()).filter(key => /generation$/.test(key)).length).toBeLessThanOrEqual(keys)
    expect((await fleet.redis.keys()).length).toBeLessThanOrEqual(keys + 1)
  })

  test('make the fleet begin anew only by tens of thousands, while Redis does not answer', async () => {
    const [user, hook] = [newClient(), newClient()]
    for (const client of [user, hook]) await client.getAccessToken('u1', 'slack')
    await entryKeys()
    fleet.redis.freeze()
    for (let index = 0; index < 12_000; index++) hook.handleWebhook(webhookFor(`invented-${index}`))
    fleet.redis.thaw()
    hook.handleWebhook(webhookFor('u2'))
    await hook.getAccessToken('u2', 'slack')

    await newClient().getAccessToken('u1', 'slack')
    expect(fleet.tokens.requests.get('u1')).toBe(1)
  })
})

describe('a member whose key was revoked', () => {
  const encryptionKey = 'k'.repeat(32)
  const together = { cache: { encryptionKey } }
  const revoked = 'sk_fleet_revoked_key'

  test.each([401, 403])('by %i fails alone, and reads no more', async status => {
    const { tokens } = fleet
    const good = newClient(cacheOn(fleet.redis.url, together))
    const bad = newClient(cacheOn(fleet.redis.url, together), { secretKey: revoked, maxRetries: 0 })
    await bad.getAccessToken('u1', 'slack')
    await entryKeys()
    await good.getAccessToken('u1', 'slack')
    await listening(2)
    tokens.answer((_owner, secretKey) => (secretKey === revoked ? { status, body: '{}' } : undefined))

    await expect(bad.getAccessToken('u1', 'slack', { fresh: true })).rejects.toThrow()

    const before = tokens.total()
    expect(await newClient(cacheOn(fleet.redis.url, together)).getAccessToken('u1', 'slack')).toBe(
      tokens.tokenOf('u1'),
    )
    expect(await good.getAccessToken('u1', 'slack')).toBe(tokens.tokenOf('u1'))
    expect(tokens.total()).toBe(before)
    expect((await fleet.redis.keys()).filter(isEntry)).toHaveLength(1)
    await expect(bad.getAccessToken('u1', 'slack')).rejects.toMatchObject({ status })
    await expect(bad.getAccessToken('u2', 'slack')).rejects.toMatchObject({ status })

    tokens.answer(undefined)
    await bad.getAccessToken('u2', 'slack')
    await good.getAccessToken('u3', 'slack')
    const total = tokens.total()
    await entryKeys(2)
    await bad.getAccessToken('u3', 'slack')
    expect(tokens.total()).toBe(total)
  })
})
