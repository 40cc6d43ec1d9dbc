// What becomes of the process around the package. Each test runs a process of its own, since that is what ends.

const { XkitClient, isXkitError } = require('..')
const { createAuthority } = require('./support/certificates')
const { answer, startProxy, startServer, tokenFor } = require('./support/http-rigs')
const { startNames } = require('./support/names')
const { CREDENTIALS, KEYS, closeRigs, rejection, settlesWithin, startChild } = require('./support/rigs')
const { testsWith } = require('./support/tools')

/** How soon a process with nothing left to do is gone. The pool would keep an idle connection for 15 s. */
const SOON_MS = 10_000
const TOKEN = tokenFor('/connections/u1/slack')
const onLinux = process.platform === 'linux' ? testsWith('cc').test : test.skip

afterEach(closeRigs)

/** Answers, except to users whose name starts with `stuck`. */
async function startPlatform() {
  return startServer({
    handler: (request, response, entry) => entry.path.includes('/stuck') || answer(request, response, entry),
  })
}

describe('a process ends by itself', () => {
  async function script({ root, keys, baseUrl, calls, cache, close }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, cache })
    for (let call = 0; call < calls; call++) await client.getAccessToken('u1', 'slack')
    if (close) await client.close()
    console.log('done')
  }

  test.each([
    ['with a client that was never used', { calls: 0 }],
    ['after a finished call, with its connection still in the pool', { calls: 1 }],
    ['after many finished calls', { calls: 50 }],
    ['with a cached token', { calls: 3, cache: true }],
    ['with a closed client', { calls: 1, close: true }],
  ])('%s', async (_what, input) => {
    const { baseUrl } = await startPlatform()

    const child = startChild(script, { baseUrl, ...input })
    await child.printed(1)
    const { value } = await settlesWithin(SOON_MS, child.ended)

    expect(value).toEqual({ code: 0, signal: null, stdout: 'done\n', stderr: '' })
  })

  test.each([
    ['failed', { user: 'stuck', options: { timeoutMs: 100 } }, 'ERR_XKIT_TIMEOUT'],
    ['was aborted', { user: 'stuck', abort: true }, 'changed my mind'],
    ['was refused for its arguments', { user: '..' }, 'ERR_INVALID_ARG_VALUE'],
  ])('after a call that %s', async (_what, input, printed) => {
    const { baseUrl } = await startPlatform()
    async function script({ root, keys, baseUrl, user, options, abort }) {
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl })
      const controller = new AbortController()
      if (abort) setTimeout(() => controller.abort('changed my mind'), 100)
      const call = client.getAccessToken(user, 'slack', { ...options, signal: controller.signal })
      await call.catch(reason => console.log(reason.code ?? reason))
    }

    const child = startChild(script, { baseUrl, ...input })
    await child.printed(1)
    const { value } = await settlesWithin(SOON_MS, child.ended)

    expect(value).toEqual({ code: 0, signal: null, stdout: `${printed}\n`, stderr: '' })
  })
})

describe('a pending call keeps the process alive until it settles', () => {
  // Nothing else in this process could: were the call not counted, it would end with nothing printed.
  function script({ root, keys, baseUrl, options }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, ...options })
    client.getAccessToken('u1', 'slack').then(
      token => console.log(token),
      error => console.log(error.code),
    )
  }
  const late = () => (request, response, entry) => setTimeout(answer, 500, request, response, entry)
  const never = () => () => {}
  const secondTime = () => {
    let asked = 0
    return (request, response, entry) => {
      if (++asked > 1) answer(request, response, entry)
      else response.writeHead(503, { 'retry-after': '1' }).end()
    }
  }

  test.each([
    ['an answer that comes late', late, {}, TOKEN],
    ['a second attempt', secondTime, {}, TOKEN],
    ['a timeout', never, { timeoutMs: 500 }, 'ERR_XKIT_TIMEOUT'],
  ])('waiting for %s', async (_what, newHandler, options, printed) => {
    const { baseUrl } = await startServer({ handler: newHandler() })

    const ended = await startChild(script, { baseUrl, options }).ended

    expect(ended).toEqual({ code: 0, signal: null, stdout: `${printed}\n`, stderr: '' })
  })

  test('also after another client in the same process has settled its calls', async () => {
    const { baseUrl } = await startServer({
      handler: (request, response, entry) =>
        (entry.path.includes('/u1/') ? late() : answer)(request, response, entry),
    })
    function twoClients({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const options = { ...keys, baseUrl }
      new XkitClient(options).getAccessToken('u1', 'slack').then(token => console.log(token))
      const other = new XkitClient(options)
      other.getAccessToken('u2', 'slack').then(() => other.close())
    }

    const ended = await startChild(twoClients, { baseUrl }).ended

    expect(ended).toEqual({ code: 0, signal: null, stdout: `${TOKEN}\n`, stderr: '' })
  })
})

describe('a process that ends with calls under way', () => {
  const CALLS = 20

  /** Starts calls that never end, and ends in the given way when told to. */
  function script({ root, keys, baseUrl, calls, way }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl })
    for (let call = 0; call < calls; call++) client.getAccessToken(`stuck-${call}`, 'slack')
    process.stdin.once('data', () => {
      if (way === 'exit') process.exit(7)
      if (way === 'rejection') Promise.reject(new Error('boom'))
      if (way === 'exception') throw new Error('boom')
    })
    console.log('ready')
  }

  async function run(way, calls, end) {
    const platform = await startPlatform()
    const child = startChild(script, { baseUrl: platform.baseUrl, calls, way })
    await child.printed(1)
    await platform.requests.reaches(calls)
    end(child)
    const { value } = await settlesWithin(SOON_MS, child.ended)
    return value
  }

  test('by process.exit has its code', async () => {
    const ended = await run('exit', CALLS, child => child.tell('now'))

    expect(ended).toEqual({ code: 7, signal: null, stdout: 'ready\n', stderr: '' })
  })

  test.each(['exception', 'rejection'])('by an uncaught %s reports it as if there were none', async way => {
    const ended = await run(way, CALLS, child => child.tell('now'))
    const without = await run(way, 0, child => child.tell('now'))

    expect(ended).toEqual(expect.objectContaining({ code: 1, signal: null }))
    expect(ended.stderr).toContain('Error: boom')
    expect(ended.stderr).toBe(without.stderr)
  })

  const signals = process.platform === 'win32' ? ['SIGTERM'] : ['SIGTERM', 'SIGINT', 'SIGHUP']
  test.each(signals)('by %s ends by it', async signal => {
    const ended = await run('signal', CALLS, child => child.kill(signal))

    expect(ended).toEqual({ code: null, signal, stdout: 'ready\n', stderr: '' })
  })

  test('at once, before a connection is up, has its code', async () => {
    const { baseUrl } = await startPlatform()
    function exitAtOnce({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl })
      for (let call = 0; call < 20; call++) client.getAccessToken(`stuck-${call}`, 'slack')
      process.exit(7)
    }

    for (let round = 0; round < 5; round++) {
      const { value } = await settlesWithin(SOON_MS, startChild(exitAtOnce, { baseUrl }).ended)
      expect(value).toEqual({ code: 7, signal: null, stdout: '', stderr: '' })
    }
  })

  test('in an exit listener that calls once more has its code', async () => {
    const { baseUrl } = await startPlatform()
    function callOnExit({ root, keys, baseUrl }) {
      const { XkitClient } = require(root)
      const client = new XkitClient({ ...keys, baseUrl })
      client.getAccessToken('u1', 'slack').then(() => process.exit(7))
      process.on('exit', () => client.getAccessToken('u1', 'slack'))
    }

    const { value } = await settlesWithin(5000, startChild(callOnExit, { baseUrl }).ended)

    expect(value).toEqual({ code: 7, signal: null, stdout: '', stderr: '' })
  })
})

describe('worker threads', () => {
  test('that are ended with calls under way, 60 times, disturb nobody', async () => {
    const platform = await startPlatform()
    async function script({ root, keys, baseUrl, rounds }) {
      const { once } = require('node:events')
      const { readdirSync } = require('node:fs')
      const { Worker } = require('node:worker_threads')
      const { XkitClient } = require(root)
      const threads = () => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : 0)
      const client = new XkitClient({ ...keys, baseUrl })
      // Even rounds are cut off as early as can be, odd ones when requests are on the wire; each third ends itself.
      async function work({ root, keys, baseUrl, round }) {
        const { parentPort } = require('node:worker_threads')
        const { XkitClient } = require(root)
        const client = new XkitClient({ ...keys, baseUrl })
        for (let call = 0; call < 10; call++) client.getAccessToken(`stuck-${round}-${call}`, 'slack')
        if (round % 2 === 1) await client.getAccessToken(`worker-${round}`, 'slack')
        parentPort.postMessage('calling')
        if (round % 3 === 2) process.exit(0)
      }
      let atFirst
      for (let round = 0; round < rounds; round++) {
        const input = JSON.stringify({ root, keys, baseUrl, round })
        const worker = new Worker(`(${work})(${input})`, { eval: true, env: process.env })
        const exited = once(worker, 'exit')
        await once(worker, 'message')
        if (round % 3 !== 2) worker.terminate()
        await exited
        await client.getAccessToken(`main-${round}`, 'slack')
        atFirst ??= threads()
      }
      console.log(JSON.stringify({ moreThreads: Math.max(0, threads() - atFirst) }))
    }

    const child = startChild(script, { baseUrl: platform.baseUrl, rounds: 60 })
    const ended = await child.ended

    // The calls of the ended workers do not keep the process alive either.
    expect(ended).toEqual({
      code: 0,
      signal: null,
      stdout: `${JSON.stringify({ moreThreads: 0 })}\n`,
      stderr: '',
    })
    const ofMain = platform.requests.entries.filter(({ path }) => path.includes('/main-'))
    expect(ofMain).toHaveLength(60)
  })

  test('call at the same time as the main thread, and end by themselves', async () => {
    const platform = await startPlatform()
    async function script({ root, keys, baseUrl }) {
      const { once } = require('node:events')
      const { Worker } = require('node:worker_threads')
      const { XkitClient } = require(root)
      async function callAll({ root, keys, baseUrl, name }) {
        const { XkitClient } = require(root)
        const client = new XkitClient({ ...keys, baseUrl })
        const users = Array.from({ length: 100 }, (_, index) => `${name}-${index}`)
        const tokens = await Promise.all(users.map(user => client.getAccessToken(user, 'slack')))
        if (!tokens.every((token, index) => token.includes(`/${users[index]}/`))) throw new Error('mixed up')
      }
      const exits = [1, 2, 3].map(async number => {
        const input = JSON.stringify({ root, keys, baseUrl, name: `worker-${number}` })
        const worker = new Worker(`(${callAll})(${input})`, { eval: true, env: process.env })
        return (await once(worker, 'exit'))[0]
      })
      await callAll({ root, keys, baseUrl, name: 'main' })
      console.log(JSON.stringify(await Promise.all(exits)))
      await new XkitClient({ ...keys, baseUrl }).getAccessToken('after', 'slack')
    }

    const ended = await startChild(script, { baseUrl: platform.baseUrl }).ended

    expect(ended).toEqual({ code: 0, signal: null, stdout: '[0,0,0]\n', stderr: '' })
    expect(platform.requests.count).toBe(401)
  })

  test('load the package while the main thread has not', async () => {
    const { baseUrl } = await startPlatform()
    async function script({ root, keys, baseUrl }) {
      const { once } = require('node:events')
      const { Worker } = require('node:worker_threads')
      const source = `
        const { XkitClient } = require(${JSON.stringify(root)})
        const client = new XkitClient(${JSON.stringify({ ...keys, baseUrl })})
        client.getAccessToken('u1', 'slack')`
      for (let round = 0; round < 5; round++) {
        const [code] = await once(new Worker(source, { eval: true, env: process.env }), 'exit')
        console.log(code)
      }
    }

    const ended = await startChild(script, { baseUrl }).ended

    expect(ended).toEqual({ code: 0, signal: null, stdout: '0\n'.repeat(5), stderr: '' })
  })

  test('have their own process.env, and that is the one that counts', async () => {
    const platform = await startPlatform()
    async function script({ root, keys, baseUrl }) {
      const { once } = require('node:events')
      const { Worker } = require('node:worker_threads')
      const env = {
        XKIT_PUBLISHABLE_KEY: keys.publishableKey,
        XKIT_SECRET_KEY: keys.secretKey,
        XKIT_BASE_URL: baseUrl,
      }
      const source = `
        const { getAccessToken, XkitClient } = require(${JSON.stringify(root)})
        const { parentPort } = require('node:worker_threads')
        Promise.all([getAccessToken('u1', 'slack'), new XkitClient().getAccessToken('u1', 'slack')])
          .then(tokens => parentPort.postMessage(tokens))`
      const [tokens] = await once(new Worker(source, { eval: true, env }), 'message')
      const { XkitClient } = require(root)
      const ofMain = await new XkitClient({ baseUrl })
        .getAccessToken('u1', 'slack')
        .catch(error => error.code)
      console.log(JSON.stringify([...tokens, ofMain]))
    }

    const { stdout } = await startChild(script, { baseUrl: platform.baseUrl }).ended

    expect(JSON.parse(stdout)).toEqual([TOKEN, TOKEN, 'ERR_XKIT_MISSING_CREDENTIALS'])
    for (const { headers } of platform.requests.entries) {
      expect(headers.authorization).toBe(`Basic ${CREDENTIALS}`)
    }
  })
})

describe('threads', () => {
  test('are one for all clients, started by the first call and not by require or by a constructor', async () => {
    const { baseUrl } = await startPlatform()
    async function script({ root, keys, baseUrl }) {
      const { readdirSync } = require('node:fs')
      const threads = () => readdirSync('/proc/self/task').length
      const before = threads()
      const { XkitClient } = require(root)
      const required = threads()
      const client = new XkitClient({ ...keys, baseUrl })
      const constructed = threads()
      await client.getAccessToken('u1', 'slack')
      const called = threads()
      for (let count = 0; count < 5; count++)
        await new XkitClient({ ...keys, baseUrl }).getAccessToken('u1', 'slack')
      console.log(JSON.stringify([required, constructed, called, threads()].map(count => count - before)))
    }

    // Only Linux lists the threads of a process as files. The package is the same code on every system, so what
    // Linux shows holds elsewhere; there it is enough that nothing is asserted falsely.
    if (process.platform !== 'linux') return
    const { stdout, stderr } = await startChild(script, { baseUrl }).ended

    expect(stderr).toBe('')
    const [required, constructed, called, six] = JSON.parse(stdout)
    expect({ required, constructed, called, six }).toEqual({ required: 0, constructed: 0, called: 1, six: 1 })
  })
})

onLinux('no client listens on a socket, and a hundred clients have the threads of one', async () => {
  const names = startNames()
  const authority = createAuthority()
  const identity = authority.issue({ hosts: ['127.0.0.1'] })
  const [plain, secure] = await Promise.all([startPlatform(), startServer({ identity })])
  const proxy = await startProxy({})
  async function script({ root, keys, urls, ca, proxy }) {
    const { readdirSync } = require('node:fs')
    const { XkitClient } = require(root)
    const cache = { redis: { url: 'redis://127.0.0.1:1' } }
    /** Over http, over TLS, and through a proxy; every other one of a fleet. */
    const call = number => {
      const baseUrl = urls[number % 3]
      const options = { ...keys, ca, baseUrl, proxy: number % 3 === 2 && proxy }
      const client = new XkitClient({ ...options, ...(number % 2 && { cache }) })
      clients.push(client)
      return client.getAccessToken('u1', 'slack')
    }
    const threads = () => readdirSync('/proc/self/task').length
    const clients = []
    await call(0)
    const ofOne = threads()
    for (let number = 1; number < 100; number++) await call(number)
    console.log(threads() - ofOne)
    process.exit()
  }
  const urls = [plain, secure, secure].map(({ baseUrl }) => baseUrl)
  const input = { urls, ca: authority.certificate, proxy: `http://127.0.0.1:${proxy.port}` }

  const { stdout, stderr } = await startChild(script, input, { env: names.env }).ended

  expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' })
  expect(names.lookups()).not.toContain('! listen')
  expect(proxy.connects.count).toBeGreaterThan(0)
})

describe('the package loaded twice in one process', () => {
  test('works in both copies, and each knows the errors of the other', async () => {
    const { baseUrl } = await startPlatform()
    let second
    jest.isolateModules(() => {
      second = require('..')
    })
    expect(second.XkitClient).not.toBe(XkitClient)

    for (const Client of [XkitClient, second.XkitClient]) {
      const client = new Client({ ...KEYS, baseUrl })
      await expect(client.getAccessToken('u1', 'slack')).resolves.toBe(TOKEN)
      const error = await rejection(client.getAccessToken('stuck', 'slack', { timeoutMs: 50 }))
      expect([isXkitError(error), second.isXkitError(error)]).toEqual([true, true])
    }
  })
})

describe('fake timers that are on before the package is loaded keep no call waiting', () => {
  test.each([
    [
      'and never fire',
      async function script({ root, keys, baseUrl }) {
        const timers = require('node:timers')
        // As tools for fake timers replace them: in the module and in the global scope, to fire when they are told to.
        for (const name of ['setTimeout', 'setInterval', 'setImmediate'])
          timers[name] = globalThis[name] = () => ({})
        const { XkitClient } = require(root)
        const client = new XkitClient({ ...keys, baseUrl })
        const askAll = () =>
          Array.from({ length: 50 }, (_, call) => client.getAccessToken(`u${call}`, 'slack'))
        for (let round = 0; round < 3; round++) await Promise.all(askAll())
        await client.close()
        const results = await Promise.allSettled(askAll())
        console.log(results.filter(({ status }) => status === 'rejected').length)
      },
    ],
    [
      'and fire once',
      async function script({ root, keys, baseUrl }) {
        const { mock } = require('node:test')
        mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] })
        const { XkitClient } = require(root)
        const client = new XkitClient({ ...keys, baseUrl })
        const askAll = () =>
          Array.from({ length: 50 }, (_, call) => client.getAccessToken(`u${call}`, 'slack'))
        await Promise.all(askAll())
        mock.timers.tick(1)
        await Promise.all(askAll())
        mock.timers.reset()
        console.log((await Promise.all(askAll())).length)
      },
    ],
  ])('%s', async (_, script) => {
    const { baseUrl } = await startPlatform()

    const { code, stdout, stderr } = await startChild(script, { baseUrl }).ended

    // Node says that its fakes are experimental.
    expect(stderr).toMatch(/^$|ExperimentalWarning/)
    expect({ code, stdout }).toEqual({ code: 0, stdout: '50\n' })
  })
})
