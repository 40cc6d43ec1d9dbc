// Owns the proof of the plain functions: all on one client, by the environment at the first call, that can be closed.
'use strict'

const { startEmulator } = require('../emulator')

let emulator
let xkit

function setEnvironment({ baseUrl, catalogUrl, publishableKey, secretKey }) {
  Object.assign(process.env, {
    XKIT_BASE_URL: baseUrl,
    XKIT_CATALOG_URL: catalogUrl,
    XKIT_PUBLISHABLE_KEY: publishableKey,
    XKIT_SECRET_KEY: secretKey,
  })
}

beforeEach(async () => {
  jest.isolateModules(() => {
    xkit = require('..')
  })
  emulator = await startEmulator({
    users: { u1: { github: { accessToken: 'gho-1' }, slack: { enabled: false } } },
    groups: { acme: { github: { accessToken: 'gho-2' } } },
  })
  setEnvironment(emulator)
})

afterEach(async () => {
  await xkit.closeDefaultClient()
  await emulator.close()
  for (const name of Object.keys(process.env)) if (name.startsWith('XKIT_')) delete process.env[name]
})

test('give a token, a connection, and a call that is repaired', async () => {
  expect(await xkit.getAccessToken('u1', 'github')).toBe('gho-1')
  expect(await xkit.getGroupAccessToken('acme', 'github')).toBe('gho-2')
  expect(await xkit.getConnection('u1', 'slack', { fresh: true })).toMatchObject({
    status: 'not_enabled',
    connectUrl: `${emulator.catalogUrl}/connectors/slack`,
  })

  emulator.revokeToken('u1', 'github', { keepHandingOut: true })
  const ask = async token => {
    emulator.rotateToken('u1', 'github')
    return fetch(`${emulator.serviceUrl}/github/user`, { headers: { authorization: `Bearer ${token}` } })
  }
  await xkit.withAccessToken('u1', 'github', ask)
  expect(emulator.serviceRequests).toHaveLength(2)
})

test('reject where the client cannot be made, and try again at the next call', async () => {
  process.env.XKIT_BASE_URL = 'nonsense'
  for (const call of [
    xkit.getAccessToken('u1', 'github'),
    xkit.getGroupAccessToken('acme', 'github'),
    xkit.getConnection('u1', 'github'),
    xkit.withAccessToken('u1', 'github', () => {}),
  ]) {
    await expect(call).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' })
  }
  setEnvironment(emulator)
  expect(await xkit.getAccessToken('u1', 'github')).toBe('gho-1')
})

describe('closeDefaultClient', () => {
  test('does nothing if there is none', async () => {
    await expect(xkit.closeDefaultClient()).resolves.toBeUndefined()
  })

  test('has the next call build another one, by the environment as it is then', async () => {
    await xkit.getAccessToken('u1', 'github')
    const other = await startEmulator({ users: { u1: { github: { accessToken: 'gho-other' } } } })
    setEnvironment(other)
    expect(await xkit.getAccessToken('u1', 'github')).toBe('gho-1')
    await xkit.closeDefaultClient()
    expect(await xkit.getAccessToken('u1', 'github')).toBe('gho-other')
    await other.close()
  })

  test('lets calls under way end, and resolves when they have', async () => {
    emulator.latencyMs = 50
    const call = xkit.getAccessToken('u1', 'github')
    await xkit.closeDefaultClient()
    expect(emulator.requests).toMatchObject([{ status: 200 }])
    expect(await call).toBe('gho-1')
  })
})
