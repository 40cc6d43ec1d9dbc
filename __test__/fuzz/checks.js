// Owns what has to hold whatever came over the wire: when a call settles, what a failure may look like, and that no
// secret shows in it.
'use strict'

const { setImmediate: turn } = require('node:timers/promises')
const xkit = require('../..')
const { leaks } = require('../support/secrets.js')

/** How late a call may settle after its limit. */
const GRACE_MS = 250

const CODES = {
  ConnectionUnavailableError: ['NOT_PROVISIONED', 'NOT_ENABLED', 'PENDING', 'NEEDS_REAUTHORIZATION'],
  XkitApiError: [
    'INVALID_API_KEY',
    'FORBIDDEN',
    'RATE_LIMITED',
    'SERVER',
    'HTTP',
    'REDIRECT',
    'INVALID_RESPONSE',
    'RESPONSE_TOO_LARGE',
  ],
  XkitNetworkError: ['TIMEOUT', 'CONNECT', 'TLS', 'PROXY'],
  // Without ERR_XKIT_INTERNAL: that one tells of a defect.
  XkitError: ['MISSING_CREDENTIALS', 'OVERLOADED', 'CLOSED'],
}
const ARGUMENT_CODES = ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE']
const STATES = ['not_provisioned', 'not_enabled', 'pending', 'needs_reauthorization']

class Violation extends Error {}

function ensure(isSo, what) {
  if (!isSo) throw new Violation(what)
}

/** How a call settles: `{ value }` or `{ error }`. It may neither throw at once nor take longer than its limit. */
async function settle(call, limitMs) {
  let promise
  try {
    promise = call()
  } catch {
    throw new Violation('threw synchronously')
  }
  ensure(promise instanceof Promise, 'returned what is no promise')
  let outcome
  const settled = promise.then(
    value => {
      outcome = { value }
    },
    error => {
      outcome = { error }
    },
  )
  let alarm
  const late = new Promise(resolve => {
    alarm = setTimeout(resolve, limitMs + GRACE_MS)
  })
  await Promise.race([settled, late])
  clearTimeout(alarm)
  // After a pause of the whole process the alarm comes first, though the outcome waits to be picked up.
  for (let turns = 0; outcome === undefined && turns < 3; turns++) await turn()
  ensure(outcome !== undefined, `did not settle within ${limitMs} + ${GRACE_MS} ms`)
  return outcome
}

/** A failure of the package: one of the documented ones, complete, and silent on `secrets`. */
function checkFailure(error, secrets, mostAttempts) {
  ensure(xkit.isXkitError(error), `rejected with ${typeof error} ${error?.name} ${error?.code}`)
  const codes = CODES[error.name]?.map(code => `ERR_XKIT_${code}`) ?? []
  ensure(codes.includes(error.code), `rejected with ${error.name} ${error.code}`)
  ensure(Object.getPrototypeOf(error) === xkit[error.name].prototype, `${error.name} is of another class`)
  ensure(typeof error.retryable === 'boolean', 'retryable is no boolean')
  ensure(Number.isInteger(error.attempts), 'attempts is no integer')
  ensure(error.attempts <= mostAttempts, `made ${error.attempts} attempts, with ${mostAttempts} allowed`)
  const { status = 200, retryAfterMs = 0, requestId = '' } = error
  ensure(Number.isInteger(status) && status >= 100 && status <= 999, 'status is none')
  ensure(Number.isFinite(retryAfterMs) && retryAfterMs >= 0, 'retryAfterMs is no delay')
  ensure(typeof requestId === 'string', 'requestId is no string')
  checkText(error, secrets)
}

/** A refused argument: Node's own class and codes. */
function checkRefusal(error, secrets) {
  ensure(error instanceof TypeError, `rejected with ${error?.name} ${error?.code} for its arguments`)
  ensure(ARGUMENT_CODES.includes(error.code), `refused with the code ${error.code}`)
  checkText(error, secrets)
}

function checkText(error, secrets) {
  ensure(typeof error.message === 'string' && error.message !== '', 'has no message')
  ensure(!/\p{Cc}/u.test(error.message), 'has a message of more than one line')
  const shown = leaks(error, secrets)
  ensure(shown.length === 0, shown.join('; '))
}

/** What can be used as a token at all. */
function checkToken(token) {
  ensure(typeof token === 'string', `resolved with ${typeof token}`)
  ensure(token.trim() !== '', 'resolved with a blank token')
  ensure(!/\p{Cc}/u.test(token), 'resolved with a token that holds control characters')
}

module.exports = { STATES, Violation, checkFailure, checkRefusal, checkToken, ensure, settle }
