// Owns the proof of whom the emulator answers: its own hosts, so that a page in a browser cannot reach it under a rebound name.
'use strict'

const http = require('node:http')
const net = require('node:net')
const { once } = require('node:events')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator')

const cleanUps = []
const users = { u1: { slack: { accessToken: 'xoxb-1' } } }

afterEach(async () => {
  jest.restoreAllMocks()
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function start(options) {
  const emulator = await startEmulator({ users, ...options })
  cleanUps.push(() => emulator.close())
  return emulator
}

/** What the emulator answers to a request that names `host`; `:port` in it is the emulator's own. */
async function ask({ baseUrl, publishableKey, secretKey }, path, host, method = 'GET') {
  const { port } = new URL(baseUrl)
  const headers = {
    host: host.replace(':port', `:${port}`),
    authorization: `Basic ${btoa(`${publishableKey}:${secretKey}`)}`,
  }
  const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }).end()
  const [response] = await once(request, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, text }
}

const ROUTES = [
  ['the API', '/api/platform/connections/u1/slack', 'GET'],
  ['the catalog', '/', 'GET'],
  ["a connector's page", '/connectors/slack', 'GET'],
  ["a connector's form", '/connectors/slack', 'POST'],
  ['the service', '/service/github/user', 'GET'],
  ['nowhere', '/nowhere', 'GET'],
]

describe.each(ROUTES)('%s', (_what, path, method) => {
  test.each([
    'evil.example',
    'evil.example:port',
    '127.0.0.1.evil.example:port',
    'localhost.evil.example',
    'notlocalhost',
    'xkit',
    'xkit@127.0.0.1',
    '127.0.0.1/x',
    ':port',
    'not a host',
  ])('is not shown to a request for the host %p', async host => {
    jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const emulator = await start()
    const { status, text } = await ask(emulator, path, host, method)
    expect(status).toBe(421)
    expect(JSON.parse(text)).toEqual({ error: expect.stringContaining('allowedHosts') })
    expect(text).not.toMatch(/u1|xoxb|evil/)
  })
})

test.each([
  'localhost:port',
  'LocalHost',
  'localhost.:port',
  'app.localhost:port',
  '127.0.0.1:port',
  '127.1.2.3',
  '[::1]:port',
  // An address cannot be rebound: it is where the page came from.
  '192.168.7.9:8080',
  '[fd00::7]',
])('a request for %p is answered, whatever its port', async host => {
  const { status } = await ask(await start(), '/api/platform/connections/u1/slack', host)
  expect(status).toBe(200)
})

test('a request without a host is not', async () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const emulator = await start()
  const socket = net.connect(new URL(emulator.baseUrl).port, '127.0.0.1')
  socket.end('GET / HTTP/1.0\r\n\r\n')
  let text = ''
  for await (const chunk of socket.setEncoding('utf8')) text += chunk
  expect(text).toMatch(/^HTTP\/1\.1 421 /)
  expect(warn).not.toHaveBeenCalled()
})

describe('a name that is allowed', () => {
  test.each([
    ['xkit', 'xkit:port'],
    ['xkit', 'XKIT.'],
    ['Xkit.Test', 'xkit.test:4010'],
    ['bücher.example', 'xn--bcher-kva.example'],
  ])('as %p is answered as %p, and no other', async (allowed, host) => {
    jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const emulator = await start({ allowedHosts: ['other.test', allowed] })
    expect((await ask(emulator, '/api/platform/connections/u1/slack', host)).status).toBe(200)
    expect((await ask(emulator, '/', `sub.${host}`)).status).toBe(421)
    expect((await ask(emulator, '/', 'evil.example')).status).toBe(421)
  })

  test('is a name to listen on, without being named twice', async () => {
    const emulator = await start({ host: 'localhost' })
    const xkit = new XkitClient(emulatorOptions(emulator))
    expect(await xkit.getAccessToken('u1', 'slack')).toBe('xoxb-1')
    await xkit.close()
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', 'xkit'],
    ['ERR_INVALID_ARG_TYPE', [1]],
    ['ERR_INVALID_ARG_VALUE', ['']],
    ['ERR_INVALID_ARG_VALUE', ['http://xkit']],
    ['ERR_INVALID_ARG_VALUE', ['xkit:4010']],
    ['ERR_INVALID_ARG_VALUE', ['*']],
    ['ERR_INVALID_ARG_VALUE', ['a b']],
  ])('must be one: %s for %j', async (code, allowedHosts) => {
    await expect(startEmulator({ allowedHosts })).rejects.toMatchObject({ name: 'TypeError', code })
  })
})

function emulatorOptions({ baseUrl, publishableKey, secretKey }) {
  return { baseUrl, publishableKey, secretKey }
}

test('a refused name is told once, with what to do, and nothing that a terminal would act upon', async () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const emulator = await start()
  for (const host of ['xkit:port', 'xkit', 'other', '\u009b31mred', 'xkit']) await ask(emulator, '/', host)
  expect(warn.mock.calls).toEqual([
    [
      'The emulator refused a request for the host "xkit"; add it to allowedHosts (--allow-host) if it is meant',
      { code: 'XKIT_EMULATOR_HOST' },
    ],
    [
      'The emulator refused a request for the host "other"; add it to allowedHosts (--allow-host) if it is meant',
      { code: 'XKIT_EMULATOR_HOST' },
    ],
  ])
})

test('what is refused costs no planned failure and is in no record', async () => {
  jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const emulator = await start()
  emulator.failNext()
  await ask(emulator, '/api/platform/connections/u1/slack', 'evil.example')
  expect(emulator.requests).toEqual([])
  expect((await ask(emulator, '/api/platform/connections/u1/slack', 'localhost')).status).toBe(503)
})

test('two emulators have different keys, unless they are given', async () => {
  const emulators = [await start(), await start()]
  const keys = emulators.flatMap(({ publishableKey, secretKey }) => [publishableKey, secretKey])
  expect(new Set(keys).size).toBe(4)
  for (const key of keys) expect(key).toMatch(/^[ps]k_emulator_[\w-]{20,}$/)
})
