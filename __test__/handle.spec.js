// Owns the proof of `XkitClient.for`: a handle is one owner's connection to one service, in a form that SDKs take.
'use strict'

const { inspect } = require('node:util')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')
const { failureOf } = require('./support/platform')

let emulator
let xkit

beforeEach(async () => {
  emulator = await startEmulator({
    users: { u1: { github: { accessToken: 'token-of-u1' } }, u2: { github: { enabled: false } } },
    groups: { acme: { github: { accessToken: 'token-of-acme' } } },
  })
  const { baseUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, publishableKey, secretKey })
})
afterEach(() => emulator.close())

test('asks nobody, holds no token and cannot be changed', async () => {
  const github = xkit.for('u1', 'github')
  expect(emulator.requests).toHaveLength(0)
  await github.getAccessToken()

  expect(github).toMatchObject({ owner: 'u1', slug: 'github' })
  expect(Object.isFrozen(github)).toBe(true)
  expect(inspect(github, { showHidden: true, depth: null })).not.toContain('token-of-u1')
})

test('has the methods of the client, bound, which need no `this`', async () => {
  const { getAccessToken, getConnection, withAccessToken, fetch, invalidate } = xkit.for('u1', 'github')

  expect(await getAccessToken()).toBe('token-of-u1')
  expect(await getConnection()).toMatchObject({ status: 'active', slug: 'github' })
  expect(await withAccessToken(token => token)).toBe('token-of-u1')
  expect((await fetch(`${emulator.serviceUrl}/github/user`)).status).toBe(200)
  expect(invalidate()).toBeUndefined()
  expect(invalidate('token-of-u1')).toBeUndefined()
})

test('is of any owner, whatever becomes of the object that named it', async () => {
  const owner = { group: 'acme' }
  const github = xkit.for(owner, 'github')
  owner.group = 'other'

  expect(await github.getAccessToken()).toBe('token-of-acme')
  expect(github.owner).toEqual({ group: 'acme' })
})

test('repairs a rejected token, as the client does', async () => {
  const github = xkit.for('u1', 'github')
  await github.getAccessToken()
  emulator.revokeToken('u1', 'github')
  const use = token =>
    fetch(`${emulator.serviceUrl}/github/user`, { headers: { authorization: `Bearer ${token}` } })

  expect((await github.withAccessToken(use)).status).toBe(200)
  expect((await github.fetch(`${emulator.serviceUrl}/github/user`)).status).toBe(200)
})

test('takes the options of the client', async () => {
  const github = xkit.for('u1', 'github')
  const reason = new Error('changed my mind')
  const signal = AbortSignal.abort(reason)

  expect(await failureOf(github.getAccessToken({ signal }))).toBe(reason)
  expect(await failureOf(github.getConnection({ signal }))).toBe(reason)
  expect(await failureOf(github.withAccessToken(token => token, { signal }))).toBe(reason)
  expect(await failureOf(github.fetch(emulator.serviceUrl, { signal }))).toBe(reason)
  expect(emulator.requests).toHaveLength(0)
  expect(await failureOf(github.getAccessToken({ timeoutMs: 0 }))).toMatchObject({
    code: 'ERR_INVALID_ARG_VALUE',
  })
  const outcomes = ['expired', 'fine']
  const isRejected = outcome => outcome === 'expired'
  expect(await github.withAccessToken(() => outcomes.shift(), { isRejected })).toBe('expired')
})

test.each([
  ['scopes', [['user.read']]],
  ['a scope', ['user.read', { abortSignal: undefined }]],
  ['options of its own', [{ scopes: ['a'], tenantId: 't' }]],
  ['a scheme', [{ type: 'http', scheme: 'bearer' }]],
  ['a callback', [() => {}]],
  ['null', [null]],
])('ignores %s, which an SDK passes along', async (_what, args) => {
  const github = xkit.for('u1', 'github')

  expect(await github.getAccessToken(...args)).toBe('token-of-u1')
  expect(await github.getConnection(...args)).toMatchObject({ status: 'active' })
  expect(await github.withAccessToken(token => token, ...args)).toBe('token-of-u1')
  expect(github.invalidate(...args)).toBeUndefined()
})

describe('of a client with a cache', () => {
  beforeEach(() => {
    const { baseUrl, publishableKey, secretKey } = emulator
    xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
  })

  test('drops the token that it is told, and no other one', async () => {
    const github = xkit.for('u1', 'github')
    const first = await github.getAccessToken()
    const second = emulator.rotateToken('u1', 'github')

    github.invalidate('an-older-token')
    expect(await github.getAccessToken()).toBe(first)
    github.invalidate(first)
    expect(await github.getAccessToken()).toBe(second)
  })

  test('serves the promise that exists already, whatever an SDK passes along', async () => {
    const { getAccessToken } = xkit.for('u1', 'github')
    for (let call = 0; call < 2; call++) await getAccessToken()

    expect(getAccessToken({ scopes: ['user.read'] })).toBe(getAccessToken())
  })
})

test('takes no inherited option', async () => {
  Object.prototype.timeoutMs = -1
  let token
  try {
    token = await xkit.for('u1', 'github').getAccessToken({})
  } finally {
    delete Object.prototype.timeoutMs
  }
  expect(token).toBe('token-of-u1')
})

test('fails as the client does', async () => {
  expect(await failureOf(xkit.for('u2', 'github').getAccessToken())).toMatchObject({
    code: 'ERR_XKIT_NOT_ENABLED',
  })
})

test.each([
  ['no owner', [undefined, 'github'], 'ERR_INVALID_ARG_TYPE', /owner/],
  ['a number', [7, 'github'], 'ERR_INVALID_ARG_TYPE', /owner/],
  ['two owners', [{ user: 'u1', group: 'g' }, 'github'], 'ERR_INVALID_ARG_VALUE', /owner/],
  ['a dot segment', ['..', 'github'], 'ERR_INVALID_ARG_VALUE', /owner/],
  ['no slug', ['u1'], 'ERR_INVALID_ARG_TYPE', /slug/],
  ['an empty slug', ['u1', ''], 'ERR_INVALID_ARG_VALUE', /slug/],
])('is not made of %s', (_what, args, code, message) => {
  let thrown
  try {
    xkit.for(...args)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toMatchObject({ name: 'TypeError', code, message: expect.stringMatching(message) })
})
