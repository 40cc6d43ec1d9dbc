// Owns listening to abort signals: one listener per signal, however many calls share it, and none when they are over.
'use strict'

const watched = new WeakMap()

/** Calls `onAbort` when the signal aborts. Returns what ends the watch. */
function watch(signal, onAbort) {
  let callbacks = watched.get(signal)
  if (callbacks === undefined) {
    callbacks = new Set()
    watched.set(signal, callbacks)
    signal.addEventListener('abort', callAll)
  }
  callbacks.add(onAbort)
  return () => {
    callbacks.delete(onAbort)
    if (callbacks.size > 0) return
    watched.delete(signal)
    signal.removeEventListener('abort', callAll)
  }
}

/** The listener; `this` is the signal. */
function callAll() {
  for (const callback of watched.get(this)) callback()
}

module.exports = { watch }
