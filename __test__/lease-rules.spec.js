// Owns the rules of a lease by itself, with a wall clock and a timer of the test's own. What a client makes of them is in
// leases.spec.js.
'use strict'

const VALID_MS = 300

let now
let sweeper
let discards
let leases

beforeEach(() => {
  now = 1_000_000
  sweeper = undefined
  discards = new Uint32Array(1)
  jest.spyOn(Date, 'now').mockImplementation(() => now)
  jest.doMock('node:timers', () => ({
    setInterval: tick => {
      sweeper = { tick, isRef: true, unref: () => Object.assign(sweeper, { isRef: false }) }
      return sweeper
    },
    clearInterval: timer => {
      if (timer === sweeper) sweeper = undefined
    },
  }))
  jest.isolateModules(() => {
    const { Leases } = require('../lib/leases.js')
    leases = new Leases(discards)
  })
})
afterEach(() => {
  jest.dontMock('node:timers')
  jest.restoreAllMocks()
})

const put = (id, token) => leases.put('user', id, 'slack', token, VALID_MS)
const get = id => leases.get('user', id, 'slack')

test('a lease serves one promise of its token from the moment it is put until it expires', async () => {
  put('a', 'token')
  const promise = get('a')

  await expect(promise).resolves.toBe('token')
  now += VALID_MS - 1
  expect(get('a')).toBe(promise)
  now += 1
  expect(get('a')).toBeUndefined()
})

test('a lease is not valid before it began, by a clock that was set back', () => {
  put('a', 'token')
  now -= 1

  expect(get('a')).toBeUndefined()
})

test('a lease belongs to one kind of owner, id and slug, and to the latest token', async () => {
  put('a', 'token')
  put('b', 'another')

  expect(leases.get('group', 'a', 'slack')).toBeUndefined()
  expect(leases.get('user', 'a', 'github')).toBeUndefined()
  expect(get('c')).toBeUndefined()
  await expect(get('a')).resolves.toBe('token')
  await expect(get('b')).resolves.toBe('another')
  put('a', 'newer')
  await expect(get('a')).resolves.toBe('newer')
})

test('a discarded token ends all leases at the next call, and not those that begin afterwards', async () => {
  put('a', 'token')
  put('b', 'token')
  discards[0]++

  expect(get('a')).toBeUndefined()
  expect(get('b')).toBeUndefined()
  put('a', 'newer')
  await expect(get('a')).resolves.toBe('newer')
})

test('tokens that were discarded before the first call end no lease', async () => {
  discards[0] = 7
  jest.isolateModules(() => {
    const { Leases } = require('../lib/leases.js')
    leases = new Leases(discards)
  })
  put('a', 'token')

  await expect(get('a')).resolves.toBe('token')
})

test('a sweep keeps the leases, unless a token was discarded', async () => {
  put('a', 'token')
  const { tick } = sweeper
  tick()
  await expect(get('a')).resolves.toBe('token')
  discards[0]++

  tick()

  expect(sweeper).toBeUndefined()
  discards[0]--
  expect(get('a')).toBeUndefined()
})

test('one timer sweeps all leases, keeps no process alive, and ends with them', () => {
  expect(sweeper).toBeUndefined()
  put('a', 'token')
  const first = sweeper
  put('b', 'token')
  expect(sweeper).toBe(first)
  expect(first.isRef).toBe(false)

  leases.clear()

  expect(sweeper).toBeUndefined()
  expect(get('a')).toBeUndefined()
  put('a', 'token')
  expect(sweeper).toBeDefined()
})
