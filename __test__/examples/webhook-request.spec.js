// Owns the proof of the example with the Web's Request: only the secret lets in, and only an event of bounded size is taken.
'use strict'

const { XkitClient } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')
const { webhookRoute } = require('../../examples/webhook-request.js')

const SECRET = 'webhook-secret-Qm4r'
const EVENT = JSON.stringify({
  event_type: 'connection.disabled',
  payload: { connector: { slug: 'slack' }, context: { external_id: 'u1' } },
})

let emulator
let xkit
let handle

beforeEach(async () => {
  emulator = await startEmulator({ users: { u1: { slack: {} } } })
  const { baseUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
  handle = webhookRoute({ xkit, secret: SECRET })
})
afterEach(async () => {
  await xkit.close()
  await emulator.close()
})

const post = (body, secret = SECRET) =>
  handle(
    new Request(`http://app.example/webhooks/xkit/${secret}?a=/b`, { method: 'POST', body, duplex: 'half' }),
  )

test.each([[undefined], ['']])(
  'is not open to all where the secret is %p, as an unset variable leaves it',
  secret => {
    expect(() => webhookRoute({ xkit, secret })).toThrow(/secret/)
  },
)

test('takes a webhook, and the platform is asked at the next need', async () => {
  await xkit.getAccessToken('u1', 'slack')
  expect((await post(EVENT)).status).toBe(204)
  await xkit.getAccessToken('u1', 'slack')
  expect(emulator.requests).toHaveLength(2)
})

test.each(['', 'wrong', SECRET.slice(0, -1), `${SECRET}x`, SECRET.toUpperCase(), '%00', `${SECRET}/x`])(
  'answers 404 to the secret %p without reading the body',
  async secret => {
    let reads = 0
    const body = new ReadableStream(
      {
        pull: () => {
          reads += 1
        },
      },
      { highWaterMark: 0 },
    )
    expect((await post(body, secret)).status).toBe(404)
    expect(reads).toBe(0)
  },
)

test.each(['{}', '[]', '{"event_type":"x"', '', undefined])('answers 400 to %p', async body => {
  const response = await post(body)
  expect(response.status).toBe(400)
  expect(await response.json()).toEqual({ error: expect.any(String) })
})

test('answers 413 to what is too large, and to what does not end', async () => {
  expect((await post('x'.repeat(70_000))).status).toBe(413)
  const endless = new ReadableStream({ pull: controller => controller.enqueue(new Uint8Array(4096)) })
  expect((await post(endless)).status).toBe(413)
})
