// What the client takes from its process: descriptors and memory. Each test measures in a process of its own, since
// jest's grows by itself.
'use strict'

const zlib = require('node:zlib')
const { Readable } = require('node:stream')
const { answer, startServer } = require('./support/http-rigs')
const { activeBody, closeRigs, startChild } = require('./support/rigs')

const MIB = 1024 * 1024
/** What a hostile answer may cost. */
const MOST_GROWTH = 8 * MIB
const BOMB_BYTES = 512 * MIB

afterEach(closeRigs)

describe('10,000 calls at once with 1,024 open files', () => {
  async function script({ root, keys, baseUrl, calls }) {
    const { readdirSync } = require('node:fs')
    const { XkitClient } = require(root)
    // Where a system does not list the descriptors of a process, that no call fails has to do.
    const folder = { linux: '/proc/self/fd', darwin: '/dev/fd' }[process.platform]
    const descriptors = () => (folder === undefined ? 0 : readdirSync(folder).length)
    const run = async count => {
      const client = new XkitClient({ ...keys, baseUrl, timeoutMs: 60_000 })
      const users = Array.from({ length: count }, (_, index) => `user-${index}`)
      const outcomes = await Promise.allSettled(users.map(user => client.getAccessToken(user, 'slack')))
      const held = descriptors()
      await client.close()
      return { outcomes, users, held }
    }
    // The runtime keeps some descriptors of its own once it has started.
    await run(1)
    const before = descriptors()
    const { outcomes, users, held } = await run(calls)
    const failures = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code)
    const mixedUp = outcomes.filter(
      ({ value }, index) => value !== `token-of-/connections/${users[index]}/slack`,
    )
    while (descriptors() > before) await new Promise(resolve => setTimeout(resolve, 1))
    console.log(JSON.stringify({ failures, mixedUp: mixedUp.length, held: held - before }))
  }

  test('fail nowhere, hold few of them, and give all of them back', async () => {
    const server = await startServer()

    const input = { baseUrl: server.baseUrl, calls: 10_000 }
    const { stdout, stderr } = await startChild(script, input, { openFiles: 1024 }).ended

    expect(stderr).toBe('')
    const { failures, mixedUp, held } = JSON.parse(stdout)
    expect({ failures, mixedUp }).toEqual({ failures: [], mixedUp: 0 })
    // One per request that may be under way, and some that were opened while another one became free.
    expect(held).toBeLessThanOrEqual(2 * 100)
    expect(server.requests.count).toBe(1 + 10_000)
    expect(server.peak()).toBeLessThanOrEqual(100)
  })
})

describe('an answer without a measure', () => {
  /** Zeros, packed while somebody reads them. */
  function bomb(bytes, level) {
    const zeros = Buffer.alloc(MIB)
    function* make() {
      for (let left = bytes; left > 0; left -= MIB) yield zeros
    }
    return Readable.from(make()).pipe(zlib.createGzip({ level }))
  }

  const packed = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const endless = chunk => (_request, response) => {
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  }

  const ANSWERS = [
    [
      'a gzip bomb of 512 MiB',
      (_request, response) => {
        response.writeHead(200, packed)
        bomb(BOMB_BYTES, 1).pipe(response)
      },
      'ERR_XKIT_RESPONSE_TOO_LARGE',
    ],
    [
      'a gzip bomb whose packed bytes are few',
      (_request, response) => {
        response.writeHead(200, packed)
        bomb(128 * MIB, 9).pipe(response)
      },
      'ERR_XKIT_INVALID_RESPONSE',
    ],
    ['a body without an end', endless('x'.repeat(65_536)), 'ERR_XKIT_RESPONSE_TOO_LARGE'],
    ['a body of blanks without an end', endless(' '.repeat(65_536)), 'ERR_XKIT_RESPONSE_TOO_LARGE'],
    [
      'an announced terabyte',
      (_request, response) => {
        response.writeHead(200, { 'content-length': 2 ** 40 })
        endless(Buffer.alloc(65_536))(_request, response)
      },
      'ERR_XKIT_RESPONSE_TOO_LARGE',
    ],
    [
      'headers without an end',
      ({ socket }) => {
        const line = `X-Header: ${'x'.repeat(8000)}\r\n`
        const more = () => {
          while (!socket.destroyed && socket.write(line));
        }
        socket.on('drain', more)
        socket.write('HTTP/1.1 200 OK\r\n')
        more()
      },
      /^ERR_XKIT_(RESPONSE_TOO_LARGE|INVALID_RESPONSE)$/,
    ],
    [
      'deep lists just below the cap',
      (_request, response) => response.end('['.repeat(250_000)),
      'ERR_XKIT_INVALID_RESPONSE',
    ],
    [
      'an answer of many fields just below the cap',
      (_request, response) => {
        const fields = Array.from({ length: 14_000 }, (_, index) => [`field-${index}`, 0])
        response.end(JSON.stringify({ ...Object.fromEntries(fields), ...JSON.parse(activeBody('a-token')) }))
      },
      'fulfilled',
    ],
  ]

  async function script({ root, keys, baseUrl }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, maxRetries: 0 })
    const ask = user =>
      client.getAccessToken(user, 'slack').then(
        () => 'fulfilled',
        error => error.code,
      )
    // So that the code, the pools and the heap have the size that ordinary work gives them.
    for (let call = 0; call < 500; call++) await ask(call % 2 ? 'warm' : 'warm-failure')
    global.gc()
    const before = process.memoryUsage.rss()
    let most = before
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage.rss())
    }, 1)
    const codes = new Set()
    for (let call = 0; call < 3; call++) codes.add(await ask('hostile'))
    clearInterval(watch)
    most = Math.max(most, process.memoryUsage.rss())
    console.log(JSON.stringify({ codes: [...codes], growth: most - before }))
  }

  test.each(ANSWERS)('costs at most 8 MiB: %s', async (_what, hostile, code) => {
    const server = await startServer({
      handler(request, response, entry) {
        if (entry.path.includes('/warm-failure/')) response.writeHead(401).end()
        else if (entry.path.includes('/warm/')) answer(request, response, entry)
        else hostile(request, response)
      },
    })
    const env = { NODE_OPTIONS: '--expose-gc --max-semi-space-size=1' }

    const { stdout, stderr } = await startChild(script, { baseUrl: server.baseUrl }, { env }).ended

    expect(stderr).toBe('')
    const { codes, growth } = JSON.parse(stdout)
    expect(codes).toEqual([expect.stringMatching(code)])
    expect(growth).toBeLessThanOrEqual(MOST_GROWTH)
    // Packed or not, nobody asked for it to be.
    expect(server.requests.entries.at(-1).headers['accept-encoding']).toBe('identity')
  })
})
