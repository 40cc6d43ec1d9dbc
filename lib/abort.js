// Owns following abort signals: one listener per signal, however many calls share it, and none when they have ended.
'use strict'

/** The listener of each signal that is followed, with its callbacks. */
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

module.exports = { follow, reasonOf }
