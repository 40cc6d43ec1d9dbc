// Owns the test for a rejected token: named rules that go by the shape of what was returned or thrown.
// It names no service and no SDK. Whatever the value does when it is read, the test only answers no.
'use strict'

const {
  ANSWER_STATUSES,
  NUMBERS,
  STATUSES,
  answersOf,
  bodiesOf,
  challengeOf,
  entriesOf,
  get,
  httpStatusOf,
  isError,
  isForeign,
  isNothing,
  isObject,
  isStream,
  nodesOf,
  parse,
  statusOf,
  toStatus,
} = require('./rejection-parts.js')
const {
  isClassName,
  isScopeChallenge,
  isTelling,
  isUnauthenticatedText,
  isUnauthorizedText,
  isWord,
  namesOtherReason,
} = require('./rejection-words.js')

const UNAUTHORIZED = 401
const FORBIDDEN = 403
const OPEN_STATUSES = [400, UNAUTHORIZED, FORBIDDEN]
/** Beside a 401, which says enough, the statuses with which services tell it in the body. */
const TELLING_STATUSES = [200, 400, FORBIDDEN]
/** UNAUTHENTICATED, as gRPC numbers it. */
const UNAUTHENTICATED = 16
/** What the one pair of a type and a number says of a token. */
const DEAD_TOKEN = { type: 'OAuthException', code: 190 }

/** A word of `{ ok: false, error }` only: elsewhere it may be about another account than the token's. */
const OWNER_IS_GONE = 'account_inactive'

const CAUSES = ['cause', 'networkError', 'originalError', 'raw']
/** All that a result has which is either data or an error. */
const RESULT = ['data', 'error', 'response', 'request']
const ENTRIES = ['errors', 'graphQLErrors']
const WORD_FIELDS = [
  'code',
  'errorCode',
  'error_code',
  'type',
  'errorType',
  'error_type',
  'error',
  'err',
  'status',
  'reason',
  '.tag',
  'message',
]
const TEXT_FIELDS = [...WORD_FIELDS, 'name', 'error_description', 'error_summary', 'description']
const MORE_TEXT_FIELDS = ['detail', 'details', 'title', 'errorMessage', 'error_message', 'Message', 'Detail']

/** Whether a service refused the token, by what a use of it returned or threw. */
function isRejection(value, isThrown) {
  try {
    return isThrown ? isThrownRejection(value) : isReturnedRejection(value)
  } catch {
    // A revoked proxy, for one.
    return false
  }
}

/** Whether the JSON of an answer with this status, which is no 401, refuses the token. */
function isRejectedBody(status, body) {
  try {
    return status === 200 ? isObject(body) && isRejectedResult(body) : isThrownRejection({ status, body })
  } catch {
    return false
  }
}

// What was returned.

function isReturnedRejection(value) {
  if (typeof value !== 'object' || value === null || isPlain(value)) return false
  return (
    isUnauthorizedAnswer(value) ||
    isRejectedAnswer(value) ||
    isRejectedResult(value) ||
    isUnauthorizedResult(value)
  )
}

/** Whether an answer has nothing that any rule begins with: nearly all have not, and are not to pay for those that have. */
function isPlain(value) {
  try {
    const { status, statusCode, headers, response } = value
    if (!isPlainBody(value) || isUnauthorizedStatus(response?.status)) return false
    if (!isObject(headers)) return true
    const isRefused = OPEN_STATUSES.includes(toStatus(status)) || OPEN_STATUSES.includes(toStatus(statusCode))
    return !isRefused && isPlainBody(value.data) && isPlainBody(value.body)
  } catch {
    return false
  }
}

function isPlainBody(body) {
  if (!isObject(body)) return true
  const { ok, error, errors, graphQLErrors } = body
  if (typeof error === 'string' && body.error_description !== undefined) return false
  return ok !== false && !isObject(error) && !errors?.length && !graphQLErrors?.length
}

/** `{ status: 401, headers }`: a Response, and what clients give for one. */
function isUnauthorizedAnswer(value) {
  if (![get(value, 'status'), get(value, 'statusCode')].some(isUnauthorizedStatus)) return false
  return isObject(get(value, 'headers')) && !hasOtherReason([value])
}

/** `{ error, response }` of a 401, without data and with nothing else: whatever the error is. */
function isUnauthorizedResult(value) {
  if (!('error' in value) || !isNothing(get(value, 'data'))) return false
  const isAnswer = isUnauthorizedAnswer(get(value, 'response'))
  return isAnswer && Object.keys(value).every(name => RESULT.includes(name)) && !hasOtherReason([value])
}

/** `{ status: 200, headers, data: { ok: false, error: 'token_expired' } }`: an answer whose body is the refusal. */
function isRejectedAnswer(value) {
  if (!isObject(get(value, 'headers'))) return false
  const status = toStatus(get(value, 'status')) ?? toStatus(get(value, 'statusCode'))
  if (!TELLING_STATUSES.includes(status)) return false
  return [get(value, 'data'), get(value, 'body')].some(
    body => !isNothing(body) && !isStream(body) && isRejectedBody(status, body),
  )
}

/** What was returned without its answer: a body, or a result. */
function isRejectedResult(value) {
  return isRefusal(value) || isEmptyOfData(value) || isFailedResult(value)
}

/** `{ ok: false, error: 'token_expired' }`, or `{ error: 'invalid_token', error_description }`, as OAuth has it. */
function isRefusal(value) {
  const error = get(value, 'error')
  if (get(value, 'ok') === false) return isWord(error) || error === OWNER_IS_GONE
  return typeof get(value, 'error_description') === 'string' && isWord(error) && !hasOtherReason([value])
}

/** `{ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] }`, and the same with a 401; not beside data. */
function isEmptyOfData(value) {
  return hasRejectedEntry(value) && !hasOtherReason([value])
}

function hasRejectedEntry(value, status) {
  if (!isNothing(get(value, 'data'))) return false
  return ENTRIES.some(name => entriesOf(value, name).some(entry => isRejectedEntry(entry, status)))
}

function isRejectedEntry(entry, answerStatus) {
  if (typeof entry === 'string') return isWord(entry, answerStatus)
  const extensions = get(entry, 'extensions')
  const layers = [entry, extensions, get(extensions, 'http'), get(extensions, 'response')]
  if (layers.some(each => STATUSES.concat(NUMBERS).some(name => isUnauthorizedStatus(get(each, name)))))
    return true
  const status = layers.map(statusOf).find(found => found !== undefined) ?? answerStatus
  return [entry, extensions].some(each => hasWord(each, status) || isDeadTokenPair(each))
}

/** `{ error }` without data, as if thrown: beside what else a result has, or alone. */
function isFailedResult(value) {
  const error = get(value, 'error')
  if (!isForeign(error) || !isNothing(get(value, 'data'))) return false
  const isResult = isError(error) || 'data' in value || isObject(get(get(value, 'response'), 'headers'))
  if (!isResult && Object.keys(value).length > 1) return false
  const status = statusOf(value)
  if (!isOpen(status)) return false
  // Beside a status, an object is the body of that answer.
  if ((status === undefined || isError(error)) && isThrownRejection(error)) return true
  return isThrownRejection(value)
}

// What was thrown.

function isThrownRejection(value) {
  if (typeof value === 'string') {
    const parsed = parse(value)
    return parsed === undefined ? isTelling(value) : isThrownRejection(parsed)
  }
  if (!isForeign(value)) return false
  const layers = [value, ...CAUSES.map(name => get(value, name)), parse(get(value, 'message'))]
  const failures = layers.filter(isForeign)
  const open = failures.filter(failure => isOpen(statusOf(failure)))
  if (hasOtherReason(open)) return false
  if (open.some(isFailure)) return true
  const isStatusKnown = failures.some(failure => statusOf(failure) !== undefined)
  return !isStatusKnown && failures.some(failure => isTelling(get(failure, 'message')))
}

/** Whether a status leaves it open that the token is refused. Others say that it is something else. */
function isOpen(status) {
  return status === undefined || status < 300 || OPEN_STATUSES.includes(status)
}

function isFailure(failure) {
  return hasUnauthorizedStatus(failure) || isUnauthenticatedCall(failure) || hasRejectingWord(failure)
}

/** A 401 in a status of the failure or of its answer; in a code or a body, where no other status stands beside it. */
function hasUnauthorizedStatus(failure) {
  if (STATUSES.some(name => isUnauthorizedStatus(get(failure, name)))) return true
  if (
    answersOf(failure).some(answer => ANSWER_STATUSES.some(name => isUnauthorizedStatus(get(answer, name))))
  )
    return true
  const status = httpStatusOf(failure)
  if (status !== undefined && status >= 300) return false
  if (NUMBERS.some(name => isUnauthorizedStatus(get(failure, name)))) return true
  const nodes = bodiesOf(failure).flatMap(body => [body, get(body, 'error')].filter(isForeign))
  return nodes.some(node => [...STATUSES, ...NUMBERS].some(name => isUnauthorizedStatus(get(node, name))))
}

/** gRPC: the number alone says nothing, so that its company counts. */
function isUnauthenticatedCall(failure) {
  if (get(failure, 'code') !== UNAUTHENTICATED) return false
  const details = get(failure, 'details')
  const isCall = isObject(get(failure, 'metadata')) && (typeof details === 'string' || isObject(details))
  return isCall || isUnauthenticatedText(get(failure, 'message'))
}

/** A word of the list as the failure's own code, or as the code of an error body beside a status that leaves it open. */
function hasRejectingWord(failure) {
  const status = statusOf(failure)
  const name = get(failure, 'name')
  const isNamed = isWord(name, status) && !(status === FORBIDDEN && isClassName(name))
  if (isNamed) return true
  return [failure, ...bodiesOf(failure)].some(
    body => isRejectingBody(body, status) || hasRejectedEntry(body, status),
  )
}

function isRejectingBody(body, status) {
  if (typeof body === 'string') return isWord(body, status)
  return nodesOf(body).some(node => hasWord(node, status) || isDeadTokenPair(node) || isRefusal(node))
}

function isDeadTokenPair(node) {
  return get(node, 'type') === DEAD_TOKEN.type && get(node, 'code') === DEAD_TOKEN.code
}

/** Whether a text of the failures or of their bodies tells that it is not the token that is refused. */
function hasOtherReason(failures) {
  return failures.some(failure => {
    const answers = answersOf(failure)
    if ([failure, ...answers].some(answer => isScopeChallenge(challengeOf(answer)))) return true
    return [failure, ...bodiesOf(failure)].some(body => {
      if (typeof body === 'string') return namesOtherReason(body)
      return nodesOf(body).some(node =>
        [...TEXT_FIELDS, ...MORE_TEXT_FIELDS].some(name => namesOtherReason(get(node, name))),
      )
    })
  })
}

function isUnauthorizedStatus(value) {
  return value === UNAUTHORIZED || isUnauthorizedText(value)
}

function hasWord(node, status) {
  // A code about a field of the request is not about the token that came with it.
  if (typeof get(node, 'param') === 'string' || typeof get(node, 'field') === 'string') return false
  return WORD_FIELDS.some(name => isWord(get(node, name), status))
}

module.exports = { TELLING_STATUSES, isRejectedBody, isRejection }
