// Names: lookups that wait for nobody else's, their failures in words, and a name that moves to another address.

const { existsSync } = require('node:fs')
const net = require('node:net')
const { networkInterfaces } = require('node:os')
const { createAuthority } = require('./support/certificates')
const { answer, startProxy, startServer } = require('./support/http-rigs')
const { startNames } = require('./support/names')
const { activeBody, closeRigs, deferred, startChild, track } = require('./support/rigs')
const { testsWith } = require('./support/tools')

/** How much later than without any trouble a call may settle. */
const GRACE = 250
const MOST_MS = 2 ** 31 - 1
const PATIENTLY = { connectTimeoutMs: 60_000, attemptTimeoutMs: 60_000, timeoutMs: 80_000 }
/** What a child is given besides, and its limit: it compiles, starts Node, and shares the machine. */
const LIMIT_MS = 60_000

const authority = createAuthority()
const identity = authority.issue({ hosts: ['platform.test', '*.many.test'] })
const ca = authority.certificate

// LD_PRELOAD and 127.0.0.2 are Linux's.
const withNames = process.platform === 'linux' ? testsWith('cc').describe : describe.skip

afterEach(closeRigs)

/** Runs `script` with names of its own, and gives what it printed, as JSON. */
async function outcome(child) {
  const { stdout, stderr, code } = await child.ended
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

withNames('a name that moves', () => {
  /** Calls without a pause, four at a time, until the last connection to the old address is too old for 20, or `most` are made. */
  async function script({ root, keys, most, ...options }) {
    const { XkitClient } = require(root)
    const xkit = new XkitClient({ ...keys, proxy: false, ...options })
    const calls = []
    let movedAt
    process.stdin.once('data', () => {
      movedAt = performance.now()
    })
    const slow = xkit.getAccessToken('slow', 'slack')
    let asked = 0
    const isLate = ({ begunAt }) => begunAt > movedAt + options.maxConnectionAgeMs
    const isOver = () => calls.filter(isLate).length >= 20 || calls.length >= most
    const work = async () => {
      while (!isOver()) {
        const begunAt = performance.now()
        const token = await xkit.getAccessToken(`u${asked++}`, 'slack').catch(error => `${error}`)
        calls.push({ begunAt, token })
      }
    }
    await Promise.all(Array.from({ length: 4 }, work))
    process.stdin.destroy()
    console.log('over')
    const after = calls.filter(({ begunAt }) => begunAt > movedAt)
    const tokens = list => [...new Set(list.map(({ token }) => token))].sort()
    console.log(
      JSON.stringify({
        all: tokens(calls),
        after: tokens(after),
        late: tokens(calls.filter(isLate)),
        slow: await slow,
      }),
    )
    await xkit.close()
  }

  const KINDS = [
    ['HTTP/2', { identity, protocols: ['h2'] }],
    ['HTTP/1.1', { identity, protocols: ['http/1.1'] }],
    ['HTTP/1.1 in clear', {}],
  ]

  /** The platform at its old and its new address, and a client that is busy there. `moved` when the name leads to the new. */
  async function startMove(options, maxConnectionAgeMs, most) {
    const names = startNames()
    const released = deferred()
    const handler = token => (request, response) => {
      const respond = () => response.end(activeBody(token))
      if (request.url.includes('/slow/')) released.promise.then(respond)
      else respond()
    }
    const old = await startServer({ ...options, handler: handler('old') })
    const fresh = await startServer({
      ...options,
      host: '127.0.0.2',
      port: old.port,
      handler: handler('new'),
    })
    names.set({ 'platform.test': '127.0.0.1' })
    const baseUrl = `${old.scheme}://platform.test:${old.port}`
    const input = { baseUrl, ca, allowHttp: true, maxConnectionAgeMs, most, ...PATIENTLY }
    const child = startChild(script, input, { env: names.env })
    await old.requests.reaches(20)
    names.set({ 'platform.test': '127.0.0.2' })
    child.tell('moved\n')
    return { child, old, fresh, names, release: released.resolve }
  }

  test.each(KINDS)(
    'is followed within maxConnectionAgeMs over %s, and nothing fails or is dropped',
    async (_kind, options) => {
      const { child, release } = await startMove(options, 300, Number.MAX_SAFE_INTEGER)
      await child.printed(1)
      release()

      const { all, late, slow } = await outcome(child)

      expect(all).toEqual(['new', 'old'])
      // What began when the last connection to the old address was too old.
      expect(late).toEqual(['new'])
      expect(slow).toBe('old')
    },
    LIMIT_MS,
  )

  test.each(KINDS)(
    'is not followed earlier by a busy client over %s',
    async (_kind, options) => {
      const { child, fresh, release } = await startMove(options, MOST_MS, 400)
      await child.printed(1)
      release()

      const { after } = await outcome(child)

      expect(after).toEqual(['old'])
      expect(fresh.connections.count).toBe(0)
    },
    LIMIT_MS,
  )
})

withNames('a lookup', () => {
  test(
    'waits for none of another client: a hundred are under way at once',
    async () => {
      async function script({ root, keys, ca, port, hosts }) {
        const { XkitClient } = require(root)
        const calls = hosts.map(host => {
          const limits = {
            connectTimeoutMs: 60_000,
            attemptTimeoutMs: 60_000,
            timeoutMs: 80_000,
            maxRetries: 0,
          }
          const xkit = new XkitClient({
            ...keys,
            ca,
            proxy: false,
            baseUrl: `https://${host}:${port}`,
            ...limits,
          })
          return xkit.getAccessToken('u1', 'slack')
        })
        console.log(JSON.stringify((await Promise.allSettled(calls)).map(({ status }) => status)))
      }
      const names = startNames()
      const hosts = Array.from({ length: 100 }, (_, index) => `n${index}.many.test`)
      names.set(Object.fromEntries(hosts.map(host => [host, '?'])))
      const server = await startServer({ identity, handler: answer })
      const child = startChild(script, { ca, port: server.port, hosts }, { env: names.env })

      // None of them is answered before all of them have been asked.
      await names.reach(100)
      names.set(Object.fromEntries(hosts.map(host => [host, '127.0.0.1'])))

      expect(await outcome(child)).toEqual(Array(100).fill('fulfilled'))
    },
    LIMIT_MS,
  )

  test(
    'of another client that gets no answer delays no call',
    async () => {
      async function script({ root, keys, ca, port }) {
        const { XkitClient } = require(root)
        const options = { ...keys, ca, proxy: false, connectTimeoutMs: 60_000, attemptTimeoutMs: 60_000 }
        const silent = new XkitClient({
          ...options,
          baseUrl: `https://silent.test:${port}`,
          timeoutMs: 80_000,
        })
        const controller = new AbortController()
        let isOver = false
        const waiting = silent.getAccessToken('u1', 'slack', { signal: controller.signal }).catch(error => {
          isOver = true
          return error.name
        })
        await new Promise(resolve => process.stdin.once('data', resolve))
        const well = new XkitClient({ ...options, baseUrl: `https://platform.test:${port}` })
        const tokens = await Promise.all(['u1', 'u2', 'u3'].map(user => well.getAccessToken(user, 'slack')))
        const wasOver = isOver
        controller.abort()
        console.log(JSON.stringify({ tokens: tokens.length, wasOver, waiting: await waiting }))
        process.exit()
      }
      const names = startNames()
      names.set({ 'silent.test': '?', 'platform.test': '127.0.0.1' })
      const server = await startServer({ identity, handler: answer })
      const child = startChild(script, { ca, port: server.port }, { env: names.env })
      await names.reach(1)
      child.tell('go\n')

      expect(await outcome(child)).toEqual({ tokens: 3, wasOver: false, waiting: 'AbortError' })
      expect(names.lookups()).not.toContain('- silent.test')
    },
    LIMIT_MS,
  )

  test(
    'that fails is told as that, in the words of the resolver',
    async () => {
      async function script({ root, keys }) {
        const { XkitClient } = require(root)
        const xkit = new XkitClient({ ...keys, proxy: false, baseUrl: 'https://failing.test', maxRetries: 1 })
        const error = await xkit.getAccessToken('u1', 'slack').catch(error => error)
        const { code, message, attempts, cause } = error
        console.log(JSON.stringify({ code, message, attempts, cause: cause.message }))
      }
      const names = startNames()
      names.set({ 'failing.test': '-' })

      const told = await outcome(startChild(script, {}, { env: names.env }))

      expect(told).toMatchObject({ code: 'ERR_XKIT_CONNECT', attempts: 2 })
      expect(told.message).toContain('its name could not be found')
      expect(told.cause).toContain('Temporary failure in name resolution')
      expect(names.asked('failing.test')).toBe(2)
    },
    LIMIT_MS,
  )
})

withNames('localhost', () => {
  async function script({ root, keys, ...options }) {
    const { XkitClient } = require(root)
    const xkit = new XkitClient({ ...keys, proxy: false, maxRetries: 0, ...options })
    const answer = await xkit.getAccessToken('u1', 'slack').catch(error => error)
    console.log(JSON.stringify({ code: answer.code, message: answer.message, cause: answer.cause?.message }))
  }

  /** How a call to this host ends where the name server leads it to this address, which stands for another machine. */
  async function callTo(host, address) {
    const names = startNames()
    names.set({ [host]: address })
    const other = await startServer({ host: '127.0.0.2' })
    const input = { baseUrl: `http://${host}:${other.port}` }
    return { other, names, told: await outcome(startChild(script, input, { env: names.env })) }
  }

  test(
    'that leads to another machine gets no key',
    async () => {
      // Nobody connects to this address of the documentation's range, or the test fails.
      const { told } = await callTo('localhost', '192.0.2.1')

      expect(told).toMatchObject({
        code: 'ERR_XKIT_CONNECT',
        cause: 'localhost leads to no loopback address',
      })
    },
    LIMIT_MS,
  )

  test(
    'is this machine with every name below it, and nobody is asked for those',
    async () => {
      const { told, names, other } = await callTo('app.localhost', '127.0.0.2')

      expect(told.code).toBe('ERR_XKIT_CONNECT')
      expect(told.cause).toContain('refused')
      expect(names.lookups()).toEqual([])
      expect(other.connections.count).toBe(0)
    },
    LIMIT_MS,
  )
})

withNames('a thread that the system refuses', () => {
  test(
    'fails a lookup with a retryable error that says so, and the next call works once there is room',
    async () => {
      async function script({ root, keys, ca, port }) {
        const { XkitClient } = require(root)
        const options = { ...keys, ca, proxy: false, maxRetries: 0 }
        const first = new XkitClient({ ...options, baseUrl: `https://platform.test:${port}` })
        await first.getAccessToken('u1', 'slack')
        const turn = () => new Promise(resolve => process.stdin.once('data', resolve))
        const second = new XkitClient({ ...options, baseUrl: `https://n1.many.test:${port}` })
        console.log('ready')
        await turn()
        const error = await second.getAccessToken('u2', 'slack').catch(error => error)
        const { code, retryable, message, cause } = error
        console.log(JSON.stringify({ code, retryable, message, cause: cause?.message }))
        await turn()
        console.log(JSON.stringify(await second.getAccessToken('u3', 'slack')))
        process.exit()
      }
      const names = startNames()
      names.set({ 'platform.test': '127.0.0.1', 'n1.many.test': '127.0.0.1' })
      const server = await startServer({ identity, handler: answer })
      const child = startChild(script, { ca, port: server.port }, { env: names.env })
      await child.printed(1)
      names.set({ threads: '-' })
      child.tell('go\n')
      await child.printed(2)
      names.set({ threads: '+' })
      child.tell('go\n')

      const token = await outcome(child)
      const told = JSON.parse(child.output.stdout.split('\n')[1])

      expect(told).toMatchObject({ code: 'ERR_XKIT_CONNECT', retryable: true })
      expect(told.message).toContain('ulimit -u')
      expect(told.cause).toContain('the system refused a thread')
      expect(token).toBe('token-of-/connections/u3/slack')
    },
    LIMIT_MS,
  )
})

withNames('a name whose first address is dead', () => {
  /** A server that takes no connection: its queue is full and nobody accepts, so that Linux drops what comes. */
  async function startSilent(host, port) {
    function script({ host, port }) {
      const server = require('node:net').createServer()
      server.listen({ host, port, backlog: 1 }, () => {
        require('node:fs').writeSync(1, 'listening\n')
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      })
    }
    await startChild(script, { host, port }).printed(1)
    const isTaken = () =>
      new Promise(resolve => {
        const socket = net.connect({ host, port }).on('error', () => {})
        track({ close: async () => socket.destroy() })
        socket.on('connect', () => resolve(true)).setTimeout(500, () => resolve(false))
      })
    while (await isTaken());
  }

  /** How long two calls took, of which each opens a connection. */
  async function script({ root, keys, ...options }) {
    const { XkitClient } = require(root)
    const xkit = new XkitClient({ ...keys, proxy: false, maxRetries: 0, http2: false, ...options })
    const took = []
    for (const user of ['u1', 'u2']) {
      const begin = performance.now()
      await xkit.getAccessToken(user, 'slack')
      took.push(performance.now() - begin)
    }
    console.log(JSON.stringify(took))
    process.exit()
  }

  // Some containers have no IPv6, not even on the loopback.
  const hasIpv6 = Object.values(networkInterfaces()).some(all => all.some(({ address }) => address === '::1'))
  // Half of connectTimeoutMs.
  const LONG_MS = 20_000
  const PLATFORM = { name: 'platform.test', proxied: false }
  const PROXY = { name: 'proxy.test', proxied: true }

  const REFUSED = [PLATFORM, PROXY].map(whose => ['refuses', '127.0.0.2,127.0.0.1', undefined, whose])
  // IPv4 addresses are tried in parallel by sockets of IPv6, which a kernel may be without.
  const SILENT = existsSync('/proc/net/if_inet6')
    ? [PLATFORM, PROXY].map(whose => ['is silent', '127.0.0.2,127.0.0.1', '127.0.0.2', whose])
    : []
  const SILENT_IPV6 = [PLATFORM, PROXY].map(whose => ['is silent', '::1,127.0.0.1', '::1', whose])

  test.each([...REFUSED, ...SILENT, ...(hasIpv6 ? SILENT_IPV6 : [])])(
    'and %s (%s) is reached by the next one, long before the limit (%#)',
    async (_what, addresses, silent, { name, proxied }) => {
      const names = startNames()
      // Every answer ends its connection, so that each call needs a new one.
      const handler = (request, response, entry) => {
        response.setHeader('connection', 'close')
        answer(request, response, entry)
      }
      const platform = await startServer({ identity, protocols: ['http/1.1'], handler })
      const proxy = await startProxy({ to: platform.port })
      names.set({ 'platform.test': '127.0.0.1', [name]: addresses })
      if (silent) await startSilent(silent, (proxied ? proxy : platform).port)
      const input = {
        ca,
        baseUrl: `https://platform.test:${platform.port}`,
        proxy: proxied && `http://proxy.test:${proxy.port}`,
        connectTimeoutMs: 2 * LONG_MS,
        attemptTimeoutMs: 60_000,
        timeoutMs: 80_000,
      }

      const took = await outcome(startChild(script, input, { env: names.env }))

      expect(Math.max(...took)).toBeLessThan(LONG_MS)
      expect(platform.requests.count).toBe(2)
      expect(proxy.connects.count).toBe(proxied ? 2 : 0)
    },
    LIMIT_MS,
  )
})

withNames('the name of a Redis', () => {
  /** How long each call took with such a Redis, and without any, in turns. */
  async function script({ root, keys, ca, port, redis }) {
    const { XkitClient } = require(root)
    const options = { ...keys, ca, proxy: false, baseUrl: `https://platform.test:${port}` }
    const clients = {
      shared: new XkitClient({ ...options, cache: { redis } }),
      alone: new XkitClient(options),
    }
    const took = { shared: [], alone: [] }
    for (let turn = 0; turn < 20; turn++) {
      for (const [name, xkit] of Object.entries(clients)) {
        const begin = performance.now()
        await Promise.all(['a', 'b', 'c'].map(user => xkit.getAccessToken(`${user}${turn}`, 'slack')))
        took[name].push(performance.now() - begin)
      }
    }
    const longest = name => Math.max(...took[name])
    const { errors, lastError } = clients.shared.stats().fleet
    console.log(JSON.stringify({ shared: longest('shared'), alone: longest('alone'), errors, lastError }))
    process.exit()
  }

  async function callsWith(address) {
    const names = startNames()
    names.set({ 'redis.test': address, 'platform.test': '127.0.0.1' })
    const server = await startServer({ identity, handler: answer })
    const input = { ca, port: server.port, redis: 'redis://redis.test:6379' }
    return { names, ...(await outcome(startChild(script, input, { env: names.env }))) }
  }

  test(
    'that gets no answer delays no call, and is asked for once at a time',
    async () => {
      const { names, shared, alone, errors, lastError } = await callsWith('?')

      expect(shared).toBeLessThan(alone + GRACE)
      expect(names.asked('redis.test')).toBe(1)
      expect(errors).toBeGreaterThan(0)
      expect(lastError).toContain('lookup')
    },
    LIMIT_MS,
  )

  test(
    'that cannot be found delays no call, and is told in the words of the resolver',
    async () => {
      const { shared, alone, lastError } = await callsWith('-')

      expect(shared).toBeLessThan(alone + GRACE)
      expect(lastError).toContain('Temporary failure in name resolution')
      expect(lastError).not.toContain('redis.test')
    },
    LIMIT_MS,
  )
})
