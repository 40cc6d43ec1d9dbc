// Owns the emulator's time: real time even where a test fakes its clock, since the native client runs on real time too.
'use strict'

const { Socket } = require('node:net')
const { runInNewContext } = require('node:vm')

/** Milliseconds since 1970. The `Date` of another realm cannot be faked, even before this module is loaded. */
const now = runInNewContext('Date.now')

/**
 * Calls back once after `ms` milliseconds; returns a function that cancels it. Libraries fake `setTimeout` in the global
 * scope and in `node:timers`; sockets use Node's internal timers. It does not keep the process alive.
 */
function after(ms, callback) {
  const timer = new Socket().setTimeout(ms, callback)
  return () => timer.setTimeout(0)
}

module.exports = { after, now }
