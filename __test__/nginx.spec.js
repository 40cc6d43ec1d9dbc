// HTTP/2 as nginx speaks it: it ends a connection after some requests, or after each one, by a GOAWAY under the streams that
// are open. What it says that it never looked at is sent again, and no call is lost.

const { XkitClient } = require('..')
const { createAuthority } = require('./support/certificates')
const { mostPerPath, startServer, tokenFor } = require('./support/http-rigs')
const { startNginx } = require('./support/nginx')
const { KEYS, closeRigs } = require('./support/rigs')
const { testsWith } = require('./support/tools')

const { test } = testsWith('nginx')

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })
/** nginx shares the machine with the platform, the client and whoever else there is. */
const LIMIT_MS = 60_000

afterEach(closeRigs)

/** nginx with this directive in front of a platform, and a client of it. */
async function rigs(directive, options) {
  const platform = await startServer()
  const nginx = await startNginx({ identity, to: platform.port, directives: `${directive};` })
  const client = new XkitClient({ ...KEYS, baseUrl: nginx.baseUrl, ca: authority.certificate, ...options })
  return { platform, nginx, client }
}

/** So many calls for users of their own, and so many at once; the codes of those that failed. */
async function failuresOf(client, calls, atOnce) {
  const failures = []
  let next = 0
  const lane = async () => {
    while (next < calls) {
      const user = `u${next++}`
      const token = await client
        .getAccessToken(user, 'slack')
        .catch(({ code }) => failures.push(code) && undefined)
      if (token !== undefined) expect(token).toBe(tokenFor(`/connections/${user}/slack`))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return failures
}

// How a connection ends, how many calls are made, and how many of them at once.
const ENDS = [
  ['keepalive_requests 20', 300],
  ['keepalive_requests 100', 600],
  ['keepalive_requests 1000', 1500],
  ['keepalive_timeout 0', 200],
]
const ROWS = ENDS.flatMap(([directive, calls]) => [5, 10, 60].map(atOnce => [directive, calls, atOnce]))

test.each(ROWS)(
  'with %s, %i calls and %i at once lose none, and nginx processes each once',
  async (directive, calls, atOnce) => {
    const { platform, nginx, client } = await rigs(directive)

    expect(await failuresOf(client, calls, atOnce)).toEqual([])

    expect(platform.requests.count).toBe(calls)
    expect(mostPerPath(platform.requests)).toBe(1)
    // At worst, each connection ends under a request of every caller, and each of those is sent once more.
    const { requests, retries } = client.stats()
    expect(requests - retries).toBe(calls)
    expect(requests).toBeLessThanOrEqual(2 * calls + atOnce)
    expect(nginx.connections()).toBeLessThanOrEqual(calls)
  },
  LIMIT_MS,
)

test.each(ENDS)(
  'with %s, what nginx did not process is no retry: none of %i calls is lost without any',
  async (directive, calls) => {
    const { platform, client } = await rigs(directive, { maxRetries: 0 })

    expect(await failuresOf(client, calls, 60)).toEqual([])

    expect(platform.requests.count).toBe(calls)
  },
  LIMIT_MS,
)
