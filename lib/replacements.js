// Owns what comes in the place of a rejected token: one re-fetch for all who were refused with it, and who waits how long.
'use strict'

const { watch } = require('./abort.js')
const { toError } = require('./errors.js')

// The refusals of one burst of calls come in over seconds, and those who come late shall not ask again.
const MEMORY_MS = 5000
const MAX_REMEMBERED = 1000
// The longest that a call may last. A re-fetch has no limit but those of its callers.
const NO_LIMIT_MS = 2 ** 31 - 1

/** One re-fetch: under way while somebody waits for it, then remembered for what it brought. */
class Refetch {
  #cancel = new AbortController()
  #waiting = 0
  #isUnderWay = true
  #until = Number.POSITIVE_INFINITY
  #token

  constructor(getToken) {
    this.#token = getToken(this.#cancel.signal).then(
      token => {
        this.#end(performance.now() + MEMORY_MS)
        return token
      },
      error => {
        this.#end(0)
        throw error
      },
    )
  }

  get isUnderWay() {
    return this.#isUnderWay
  }

  get isRemembered() {
    return performance.now() < this.#until
  }

  /** The new token, as long as `wait` has the patience. The last one who leaves cancels the request. */
  async join(wait) {
    this.#waiting++
    try {
      return await wait(this.#token)
    } finally {
      this.#waiting--
      if (this.#waiting === 0 && this.#isUnderWay) {
        this.#end(0)
        this.#cancel.abort()
      }
    }
  }

  #end(until) {
    this.#isUnderWay = false
    this.#until = until
  }
}

class Replacements {
  #client
  #refetches = new Map()

  constructor(client) {
    this.#client = client
  }

  /**
   * A token in the place of the rejected one; the rejected one itself if the platform has no other. A `call` holds
   * `owner`, as `kind` and `id` too, `slug`, `timeoutMs` and, where there is one, `signal`.
   */
  find(call, rejected) {
    return within(call, async wait => {
      const seen = new Set([rejected])
      let token = rejected
      let refetch = this.#recall(call, token)
      if (refetch === undefined) refetch = this.#start(call, token)
      // It may have come back into the cache since.
      else if (!refetch.isUnderWay) this.#client.invalidate(call.owner, call.slug, token)
      // What replaced it may have been rejected in turn.
      while (refetch !== undefined) {
        const next = await refetch.join(wait)
        if (seen.has(next)) break
        seen.add(next)
        token = next
        refetch = this.#recall(call, token)
      }
      return token
    })
  }

  #recall(call, token) {
    const refetch = this.#refetches.get(keyOf(call, token))
    return refetch?.isRemembered ? refetch : undefined
  }

  #start(call, rejected) {
    const { owner, slug } = call
    const refetch = new Refetch(async signal => {
      this.#client.invalidate(owner, slug, rejected)
      const token = await this.#client.getAccessToken(owner, slug, { signal, timeoutMs: NO_LIMIT_MS })
      // Just cached again, and known to be of no use.
      if (token === rejected) this.#client.invalidate(owner, slug, rejected)
      return token
    })
    this.#remember(keyOf(call, rejected), refetch)
    return refetch
  }

  #remember(key, refetch) {
    this.#refetches.delete(key)
    for (const [oldest, { isRemembered }] of this.#refetches) {
      if (isRemembered && this.#refetches.size < MAX_REMEMBERED) break
      this.#refetches.delete(oldest)
    }
    this.#refetches.set(key, refetch)
  }
}

/** Everything goes by the token's value, since a group's calls may hold the tokens of several members. */
function keyOf({ kind, id, slug }, token) {
  return JSON.stringify([kind, id, slug, token])
}

/** Runs `work`, which waits for promises through `wait`, as long as the call's signal and limit allow. */
async function within({ slug, signal, timeoutMs }, work) {
  if (signal?.aborted) throw signal.reason
  let timer
  let unwatch
  const over = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(overdue(slug, timeoutMs)), timeoutMs)
    if (signal !== undefined) unwatch = watch(signal, () => reject(signal.reason))
  })
  try {
    return await work(promise => Promise.race([promise, over]))
  } finally {
    clearTimeout(timer)
    unwatch?.()
  }
}

function overdue(slug, timeoutMs) {
  const message = `No new access token for ${slug} within ${timeoutMs} ms: call again later, or raise timeoutMs`
  return toError({ message, code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 })
}

module.exports = { Replacements }
