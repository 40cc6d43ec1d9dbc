// One process of a fleet: does what its parent asks over the channel between them. See startMember in redis-rigs.js.
'use strict'

require('./clear-environment.js')
const { XkitClient } = require('../..')

let client
let other

/** A token, or the code of the error, and how long it took. */
async function timed(of, owner, slug, options) {
  const start = performance.now()
  try {
    const token = await of.getAccessToken(owner, slug, options)
    return { token, ms: performance.now() - start, at: start }
  } catch (error) {
    return { code: error.code ?? String(error), ms: performance.now() - start, at: start }
  }
}

/** Pairs of calls of each worker, however slow the machine is. */
const LEAST_COMPARED = 15

const methods = {
  open(options) {
    client = new XkitClient(options)
  },
  get: (owner, slug, options) => timed(client, owner, slug, options ?? undefined),
  all: (owners, slug) => Promise.all(owners.map(owner => timed(client, owner, slug))),
  invalidate: (owner, slug, rejected) => client.invalidate(owner, slug, rejected ?? undefined),
  webhook: body => {
    client.handleWebhook(body)
  },
  stats: () => client.stats(),
  /** So many tokens that services reject, each of an owner of its own. */
  reject: count => {
    for (let index = 0; index < count; index++) client.invalidate(`owner-${index}`, 'slack', `token-${index}`)
  },
  memory: () => process.memoryUsage.rss(),
  close: () => client.close(),
  async connection(owner, slug) {
    const connection = await client.getConnection(owner, slug)
    return { ...connection, accessToken: connection.accessToken }
  },
  /** Asks again and again until the token is another one; how long that took, in milliseconds up to `most`. */
  async untilNot(token, owner, slug, most) {
    const start = performance.now()
    while (performance.now() - start < most) {
      const got = await timed(client, owner, slug)
      if (got.token !== token) return performance.now() - start
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    return most
  },
  /** As `withAccessToken`, with a service that refuses these tokens. Gives those that it saw. */
  async use(owner, slug, refused) {
    const seen = []
    await client.withAccessToken(owner, slug, token => {
      seen.push(token)
      return refused.includes(token) ? new Response(null, { status: 401 }) : new Response('fine')
    })
    return seen
  },
  /**
   * For so long, by turns: a call of the client, and one of a client that has no Redis. Each for an owner of its own,
   * so that both go all the way.
   */
  async compare(options, ms, owners) {
    other ??= new XkitClient(options)
    const [shared, alone] = [[], []]
    const end = performance.now() + ms
    const worker = async worker => {
      for (let count = 0; performance.now() < end || count < LEAST_COMPARED; count++) {
        const owner = `${owners}-${worker}-${count}`
        shared.push(await timed(client, owner, 'slack'))
        alone.push(await timed(other, owner, 'slack'))
      }
    }
    await Promise.all([0, 1, 2, 3].map(worker))
    return { shared, alone, origin: performance.timeOrigin }
  },
}

process.on('message', async ({ id, method, args }) => {
  try {
    process.send({ id, value: await methods[method](...args) })
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) })
  }
})
