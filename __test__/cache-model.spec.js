// Owns the model of a cache: whatever a program asks, reports and invalidates, in whatever order, it gets the token that a map
// by owner would hold, at no more requests than such a map needs.

const fc = require('fast-check')
const { XkitClient } = require('..')
const { startServer } = require('./support/http-rigs')
const { KEYS, activeBody, closeRigs } = require('./support/rigs')

const OWNERS = ['a', { user: 'b' }, { group: 'a' }, { context: 'a' }]
const SLUG = 'slack'

let server

// The token of each answer is a new one.
beforeAll(async () => {
  let answers = 0
  server = await startServer({
    handler: (_request, response) => response.end(activeBody(`token-${answers++}`)),
  })
})
afterAll(closeRigs)

/** What the cache of one client must hold. */
class Model {
  #tokens = new Map()
  requests = 0
  calls = 0

  has(owner) {
    return this.#tokens.has(owner)
  }

  token(owner) {
    return this.#tokens.get(owner)
  }

  /** The platform has answered a call. */
  fetched(owner, token) {
    this.requests++
    for (const [other, held] of this.#tokens) expect({ other, token: held }).not.toEqual({ other, token })
    this.#tokens.set(owner, token)
  }

  drop(owner, rejected) {
    if (rejected === undefined || this.#tokens.get(owner) === rejected) this.#tokens.delete(owner)
  }

  /** A call that may be answered by the cache. */
  served(owner, token) {
    this.calls++
    if (this.has(owner)) expect(token).toBe(this.token(owner))
    else this.fetched(owner, token)
  }
}

const COMMANDS = {
  ask: async (client, model, owner) => {
    model.served(owner, await client.getAccessToken(owner, SLUG))
  },
  look: async (client, model, owner) => {
    const connection = await client.getConnection(owner, SLUG)
    model.served(owner, connection.accessToken)
  },
  // Calls that begin at once share what there is, or one request.
  askTwice: async (client, model, owner) => {
    const tokens = await Promise.all([0, 1].map(() => client.getAccessToken(owner, SLUG)))
    for (const token of tokens) model.served(owner, token)
  },
  askFresh: async (client, model, owner) => {
    model.calls++
    model.drop(owner)
    model.fetched(owner, await client.getAccessToken(owner, SLUG, { fresh: true }))
  },
  invalidate: async (client, model, owner) => {
    client.invalidate(owner, SLUG)
    model.drop(owner)
  },
  reject: async (client, model, owner) => {
    const rejected = model.token(owner)
    if (rejected === undefined) return
    client.invalidate(owner, SLUG, rejected)
    model.drop(owner)
  },
  rejectAnother: async (client, model, owner) => {
    client.invalidate(owner, SLUG, 'a-token-of-nobody')
    model.drop(owner, 'a-token-of-nobody')
  },
  // A webhook names no kind of owner.
  webhook: async (client, model, owner) => {
    const id = typeof owner === 'string' ? owner : Object.values(owner)[0]
    client.handleWebhook({
      event_type: 'connection.disabled',
      payload: { connector: { slug: SLUG }, context: { external_id: id } },
    })
    for (const other of OWNERS) {
      if ((typeof other === 'string' ? other : Object.values(other)[0]) === id) model.drop(other)
    }
  },
  use: async (client, model, owner) => {
    const token = await client.withAccessToken(owner, SLUG, async token => token)
    model.served(owner, token)
  },
  // The service rejects the first token that it sees.
  useRejected: async (client, model, owner) => {
    const seen = []
    await client.withAccessToken(owner, SLUG, async token => {
      seen.push(token)
      if (seen.length === 1) throw Object.assign(new Error('expired'), { status: 401 })
    })
    model.served(owner, seen[0])
    model.drop(owner)
    model.calls++
    model.fetched(owner, seen[1])
  },
}

/** What one program does, one step after the other. */
const program = fc.array(
  fc.record({
    // A token is leased when it is asked for again.
    command: fc.oneof(fc.constant('ask'), fc.constantFrom(...Object.keys(COMMANDS))),
    owner: fc.constantFrom(...OWNERS),
  }),
  { maxLength: 40 },
)

test('a program gets what a map by owner would hold, at as many requests', async () => {
  await fc.assert(
    fc.asyncProperty(program, async steps => {
      const client = new XkitClient({ ...KEYS, baseUrl: server.baseUrl, cache: true })
      const model = new Model()

      for (const { command, owner } of steps) await COMMANDS[command](client, model, owner)

      const { calls, requests } = model
      expect(client.stats()).toMatchObject({ calls, requests, failures: 0 })
      await client.close()
    }),
    { numRuns: 80 },
  )
})
