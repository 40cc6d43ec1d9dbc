// Owns the native calls under way: each has a number, under which its result comes.
'use strict'

const binding = require('./native.js')

/** What takes the result, by the number of the call. */
const waiting = new Map()

/** Called from native code with numbers and results in turn. */
function settled(...numbersAndResults) {
  for (let at = 0; at < numbersAndResults.length; at += 2) {
    const number = numbersAndResults[at]
    const take = waiting.get(number)
    waiting.delete(number)
    take(numbersAndResults[at + 1])
  }
}

/** Has `take` called with the result; it must not throw. */
function whenSettled(number, take) {
  waiting.set(number, take)
}

/** The result, or at once what is no number of a call. */
function resultOf(started) {
  return typeof started === 'number' ? new Promise(resolve => whenSettled(started, resolve)) : started
}

/** Ends a call now, with `undefined`. Nothing happens if it has ended. */
function cancel(native, number) {
  if (binding.cancel(native, number)) settled(number, undefined)
}

module.exports = { cancel, resultOf, settled, whenSettled }
