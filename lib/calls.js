// Owns the native calls: those under way, each with a number under which its result comes, and those that have yet to begin.
'use strict'

// Not the global one, which tests replace by a fake.
const { setImmediate } = require('node:timers')
const binding = require('./native.js')

/** Requests of a client that are begun in one turn of the event loop: timers and sockets shall get theirs in a burst. */
const MAX_PER_TURN = 32
const DONE = Promise.resolve()
const EVERYTHING = { has: () => true, add() {} }

/** What a call's result is handed to, by the call's number. */
const waiting = new Map()
/** Those of which some have yet to begin. */
const bursts = new Set()

/** Called from native code with numbers and results in turn. */
function settled(...numbersAndResults) {
  for (let at = 0; at < numbersAndResults.length; at += 2) {
    const number = numbersAndResults[at]
    const taker = waiting.get(number)
    waiting.delete(number)
    taker.take(numbersAndResults[at + 1])
  }
  // A fake of `setImmediate` that was there before this module may never fire.
  if (bursts.size > 0) for (const calls of [...bursts]) calls.beginSome()
}

/** Hands the result to `taker.take`, or at once what is no number of a call; it must not throw. */
function whenSettled(started, taker) {
  if (typeof started === 'number') waiting.set(started, taker)
  else taker.take(started)
}

/** The result, or at once what is no number of a call. */
function resultOf(started) {
  return typeof started === 'number' ? new Promise(take => whenSettled(started, { take })) : started
}

/** Ends a call now, with `undefined`. Nothing happens if it has ended. */
function cancel(native, number) {
  if (binding.cancel(native, number)) settled(number, undefined)
}

let lastResolve
let lastReject

function keepLast(resolve, reject) {
  lastResolve = resolve
  lastReject = reject
}

/** A call for a token: one object and no closure, since a burst makes thousands that all outlive a collection. */
class TokenCall {
  constructor(settle, kind, id, slug) {
    this.settle = settle
    this.kind = kind
    this.id = id
    this.slug = slug
    /** When it was made, in seconds, if it began later. */
    this.madeAt = undefined
    this.promise = new Promise(keepLast)
    this.resolve = lastResolve
    this.reject = lastReject
    // They hold the promise, and that the token.
    keepLast()
  }

  take(result) {
    this.settle(result, this)
  }
}

/**
 * The calls for tokens, without options, of a native client. So many begin at once, and then those that may share a request
 * under way; the others in the turns that follow.
 */
class Calls {
  #native
  #begun = 0
  /** Those that have yet to begin, by owner: some may be for one connection, and are to share its request. */
  #later = new Map()
  /** Owners of calls under way, as long as some calls wait for that. */
  #underWay
  #isComing = false

  constructor(native) {
    this.#native = native
  }

  /** The native client, once it knows of every call. */
  get native() {
    this.beginAll()
    return this.#native
  }

  begin(call) {
    const hasRoom = this.#begun < MAX_PER_TURN || waiting.size === 0
    if (hasRoom && this.#later.size === 0) return this.#cross(call)
    this.#underWay ??= ownersUnderWay()
    if (this.#underWay.has(call.id)) return this.#cross(call)
    // A clock that fake timers leave alone.
    call.madeAt = process.uptime()
    const others = this.#later.get(call.id)
    if (others !== undefined) return others.push(call)
    this.#later.set(call.id, [call])
    bursts.add(this)
    this.#comeBack()
  }

  beginAll() {
    if (this.#later.size > 0) this.#beginUpTo(Number.POSITIVE_INFINITY)
  }

  beginSome() {
    this.#beginUpTo(MAX_PER_TURN)
  }

  /** Some are always under way as long as others have yet to begin, so that somebody comes for them. */
  #beginUpTo(most) {
    for (const [id, calls] of this.#later) {
      if (this.#begun >= most && waiting.size > 0) return
      this.#later.delete(id)
      for (const call of calls) this.#cross(call)
    }
    this.#underWay = undefined
    bursts.delete(this)
  }

  #cross(call) {
    // The turn is over when the code that runs now is through, and what else waited for results that came together.
    if (this.#begun++ === 0) DONE.then(() => this.#endTurn())
    const { kind, id, slug, madeAt } = call
    this.#underWay?.add(id)
    const waitedMs = madeAt === undefined ? undefined : (process.uptime() - madeAt) * 1000
    whenSettled(binding.call(this.#native, kind, id, slug, undefined, undefined, waitedMs), call)
  }

  #endTurn() {
    this.#begun = 0
    if (this.#later.size === 0) this.#underWay = undefined
  }

  #comeBack() {
    if (this.#isComing) return
    this.#isComing = true
    setImmediate(() => {
      this.#isComing = false
      this.beginSome()
      if (this.#later.size > 0) this.#comeBack()
    })
  }
}

function ownersUnderWay() {
  const ids = new Set()
  for (const { id } of waiting.values()) {
    if (id === undefined) return EVERYTHING
    ids.add(id)
  }
  return ids
}

module.exports = { Calls, TokenCall, cancel, resultOf, settled, whenSettled }
