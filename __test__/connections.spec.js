// How many connections the client opens, and which of them it leaves: what the servers saw.

const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { answer, startServer, tokenFor } = require('./support/http-rigs')
const { KEYS, act, closeRigs, rejection, startChild } = require('./support/rigs')

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(closeRigs)

function newClient({ baseUrl }, options) {
  return new XkitClient({ ...KEYS, baseUrl, ca: authority.certificate, ...options })
}

/** Answers all but the users whose name begins with `late`. */
const lateForSome = (request, response, entry) =>
  entry.path.includes('/late') || answer(request, response, entry)

test('10,000 calls over HTTP/1.1 with TLS open about maxConcurrency connections', async () => {
  const server = await startServer({ identity, protocols: ['http/1.1'], keepAliveTimeout: 600_000 })
  // In a process of its own: the server cannot answer while its own process makes so many calls.
  async function callAll({ root, keys, baseUrl, ca }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, ca, timeoutMs: 600_000 })
    const users = Array.from({ length: 10_000 }, (_, index) => `user-${index}`)
    const outcomes = await Promise.allSettled(users.map(user => client.getAccessToken(user, 'slack')))
    const failures = outcomes.filter(({ status }) => status === 'rejected')
    console.log(JSON.stringify(failures.map(({ reason }) => reason.code)))
  }

  const { stdout } = await startChild(callAll, { baseUrl: server.baseUrl, ca: authority.certificate }).ended

  expect(stdout).toBe('[]\n')
  expect(server.requests.count).toBe(10_000)
  expect(server.connections.count).toBeLessThanOrEqual(130)
})

test('60 calls to a platform that is slow over HTTP/2 open a handful of connections', async () => {
  const server = await startServer({ identity, handler: act.hang })
  const client = newClient(server, { attemptTimeoutMs: 500 })
  const calls = []

  while (calls.length < 60) {
    calls.push(rejection(client.getAccessToken(`user-${calls.length}`, 'slack')))
    await server.requests.reaches(calls.length)
  }

  for (const error of await Promise.all(calls)) expect(error.code).toBe('ERR_XKIT_TIMEOUT')
  expect(server.requests.count).toBeGreaterThan(60)
  expect(server.connections.count).toBeLessThanOrEqual(10)
})

describe('an owner who is always late', () => {
  const ROUNDS = 3

  /** In each round a late call, and one of another owner's that is answered meanwhile. */
  async function run(server) {
    const client = newClient(server, { attemptTimeoutMs: 1000, maxRetries: 0 })
    await client.getAccessToken('warm', 'slack')
    for (let round = 0; round < ROUNDS; round++) {
      const late = rejection(client.getAccessToken(`late-${round}`, 'slack'))
      await server.requests.reaches(2 * round + 2)
      const token = await client.getAccessToken(`well-${round}`, 'slack')
      expect(token).toBe(tokenFor(`/connections/well-${round}/slack`))
      expect((await late).code).toBe('ERR_XKIT_TIMEOUT')
    }
  }

  test('costs the others no new connection over HTTP/2', async () => {
    const server = await startServer({ identity, handler: lateForSome })

    await run(server)

    expect(server.connections.count).toBe(1)
  })

  test('costs one connection a call over HTTP/1.1, and none of the others theirs', async () => {
    const server = await startServer({ identity, protocols: ['http/1.1'], handler: lateForSome })

    await run(server)

    expect(server.connections.count).toBeLessThanOrEqual(ROUNDS + 2)
  })
})

describe('an answer that is an error', () => {
  test.each([
    ['without a body', ''],
    ['with a page of 1 KiB', 'x'.repeat(1024)],
    ['with a page of 40 KiB', 'x'.repeat(40 * 1024)],
  ])('%s leaves its connection to the next call', async (_what, page) => {
    const server = await startServer({
      handler(_request, response) {
        response.statusCode = 403
        response.end(page)
      },
    })
    const client = newClient(server)

    for (let call = 0; call < 10; call++) {
      expect((await rejection(client.getAccessToken('u1', 'slack'))).code).toBe('ERR_XKIT_FORBIDDEN')
    }

    expect(server.connections.count).toBe(1)
  })
})
