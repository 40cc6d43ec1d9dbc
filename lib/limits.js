// Owns the limits of a wait: abort signals, and timeouts by timers that tests do not replace.
'use strict'

// Not the globals, which fake timers replace.
const { clearTimeout, setTimeout } = require('node:timers')

/** By its signal, the one listener and the callbacks of all calls that share it. */
const followed = new WeakMap()

/** A polyfilled signal may have no reason. */
function reasonOf({ reason }) {
  return reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : reason
}

/** Calls `onAbort` when the signal aborts, until the returned function is called. Calls share one listener per signal. */
function follow(signal, onAbort) {
  let watch = followed.get(signal)
  if (watch === undefined) {
    const callbacks = new Set()
    const listener = () => {
      for (const callback of callbacks) callback()
    }
    watch = { callbacks, listener }
    followed.set(signal, watch)
    signal.addEventListener('abort', listener)
  }
  const { callbacks, listener } = watch
  callbacks.add(onAbort)
  return () => {
    callbacks.delete(onAbort)
    if (callbacks.size > 0 || followed.get(signal) !== watch) return
    followed.delete(signal)
    signal.removeEventListener?.('abort', listener)
  }
}

/** Calls `callback` after `ms` milliseconds, unless the returned function is called before. */
function after(ms, callback) {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}

const LATE = Symbol('late')
const ABORTED = Symbol('aborted')

/** Settles as `promise` does; resolves with `LATE` after `ms` milliseconds, or with `ABORTED` once one of the signals aborts. */
async function within(promise, ms, signals, startTimer = after) {
  let stops
  const limit = new Promise(resolve => {
    const abort = () => resolve(ABORTED)
    stops = [startTimer(ms, () => resolve(LATE)), ...signals.map(signal => follow(signal, abort))]
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    for (const stop of stops) stop()
  }
}

module.exports = { ABORTED, LATE, after, follow, reasonOf, within }
