// Owns what happens when the system refuses a thread: every call settles, the process lives, and the next call works once
// there is room.
'use strict'

const { createAuthority } = require('./support/certificates')
const { answer, startServer } = require('./support/http-rigs')
const { startNames } = require('./support/names')
const { closeRigs, startChild } = require('./support/rigs')
const { testsWith } = require('./support/tools')

const authority = createAuthority()
const identity = authority.issue({ hosts: ['127.0.0.1'] })

afterEach(closeRigs)

// Threads are refused by a library that is preloaded, which is compiled here.
const withPreload = process.platform === 'linux' ? testsWith('cc').describe : describe.skip

withPreload('the first call of a process', () => {
  async function script({ root, keys, baseUrl, ca, cache }) {
    const { XkitClient } = require(root)
    const client = new XkitClient({ ...keys, baseUrl, ca, cache })
    const turn = () => new Promise(resolve => process.stdin.once('data', resolve))
    const tell = () => console.log(JSON.stringify({ failures: client.stats().failures }))
    console.log('ready')
    await turn()
    if (cache !== undefined) {
      const event = {
        event_type: 'connection.enabled',
        payload: { connector: { slug: 'slack' }, context: { external_id: 'u1' } },
      }
      client.handleWebhook(event)
    }
    const { name, code, retryable, attempts, message } = await client
      .getAccessToken('u1', 'slack')
      .catch(error => error)
    console.log(JSON.stringify({ name, code, retryable, attempts, message }))
    tell()
    await turn()
    console.log(await client.getAccessToken('u1', 'slack'))
    process.exit()
  }

  test.each([
    ['over https', { identity }, {}],
    ['over http', {}, {}],
    ['after a webhook, with a Redis behind the cache', {}, { cache: { redis: 'redis://127.0.0.1:1' } }],
  ])('%s fails as one to be made again, and then succeeds', async (_what, serverOptions, options) => {
    const names = startNames()
    const { baseUrl } = await startServer({ ...serverOptions, handler: answer })
    const child = startChild(script, { baseUrl, ca: authority.certificate, ...options }, { env: names.env })
    await child.printed(1)
    names.set({ threads: '-' })
    child.tell('go\n')
    await child.printed(3)
    names.set({ threads: '+' })
    child.tell('go\n')

    const { code, signal, stdout, stderr } = await child.ended

    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
    const [, error, stats, token] = stdout.split('\n')
    expect(JSON.parse(error)).toEqual({
      name: 'XkitError',
      code: 'ERR_XKIT_OVERLOADED',
      retryable: true,
      attempts: 0,
      message: expect.stringContaining('refused a thread'),
    })
    expect(JSON.parse(stats)).toEqual({ failures: 1 })
    expect(token).toBe('token-of-/connections/u1/slack')
  })
})
