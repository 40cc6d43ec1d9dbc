// Owns the test for a rejected token: named rules that go by the shape of the returned or thrown value (README.md has an
// example of each). No rule names a service or an SDK, and a value that cannot be read is no rejection.
'use strict'

const { get, isObject, named } = require('../checks.js')
const parts = require('./parts.js')
const words = require('./words.js')

const UNAUTHORIZED = 401
const FORBIDDEN = 403
const OPEN_STATUSES = [400, UNAUTHORIZED, FORBIDDEN]
/** Besides 401, which suffices by itself, the statuses with which services reject a token in the body. */
const BODY_STATUSES = [200, 400, FORBIDDEN]
/** UNAUTHENTICATED, as gRPC numbers it. */
const UNAUTHENTICATED = 16
const LOGIN_REFUSED = 535
const TOKEN_LOGIN = /^AUTH (?:XOAUTH2|OAUTHBEARER)\b/
const TURNED_OFF = /\bdisabled\b/i
const DEAD_TOKEN = { type: 'OAuthException', code: 190 }
/** Counts in `{ ok: false, error }` only: elsewhere it may concern another account than the token's. */
const OWNER_IS_GONE = 'account_inactive'

const STATUS_FIELDS = [...parts.STATUSES, ...parts.NUMBERS]
const CAUSES = named('cause networkError originalError raw')
/** The fields of a result that is either data or an error. */
const PAIR = named('data error response request')
const CODES = named('code errorCode error_code type errorType error_type serverResponseCode textCode')
const WORDS = [...CODES, ...named('error err status reason .tag message')]
const FLAGS = named('invalidToken invalid_token tokenExpired token_expired')
const TEXTS = [
  ...WORDS,
  ...named(
    'name error_description error_summary description detail details title errorMessage error_message ' +
      'Message Detail',
  ),
]

/** Whether a service rejected the token, judging by the value that its use returned or threw. The token went to `request.url`. */
function isRejection(value, isThrown, request) {
  const judge = isThrown ? isThrownRejection : isReturnedRejection
  return safely(() => judge(value, new parts.Reading(request)))
}

/** Whether the JSON of an answer rejects the token, for any status but 401. */
function isRejectedBody(status, body) {
  return safely(() => isRejectingBody(status, body, new parts.Reading()))
}

// A revoked proxy, for example, throws on every access.
function safely(judge) {
  try {
    return judge()
  } catch {
    return false
  }
}

// Returned values.

function isReturnedRejection(value, reading) {
  return isObject(value) && (isRejectedAnswer(value, reading) || isRejectedResult(value, reading))
}

/** An HTTP client's answer that is a 401, or whose body rejects the token. */
function isRejectedAnswer(value, reading) {
  if (!isObject(get(value, 'headers'))) return false
  const statuses = [get(value, 'status'), get(value, 'statusCode')]
  if (statuses.some(isUnauthorizedStatus)) {
    return parts.isAnswer(value) && !hasOtherReason([reading.failure(value)], reading)
  }
  const status = statuses.map(parts.toStatus).find(Boolean)
  if (!BODY_STATUSES.includes(status)) return false
  const rejects = body =>
    !parts.isNothing(body) && !parts.isStream(body) && isRejectingBody(status, body, reading)
  if (!rejects(get(value, 'data')) && !rejects(get(value, 'body'))) return false
  return parts.isAnswer(value) && !parts.isFromElsewhere(value, reading.request)
}

function isRejectingBody(status, body, reading) {
  if (status === 200) return isObject(body) && isRejectedResult(body, reading)
  return isThrownRejection({ status, body }, reading)
}

/** A body without its answer, or a result that consists of an error alone. */
function isRejectedResult(value, reading) {
  // Nearly every result has none of these, and costs three lookups.
  if (!('error' in value || 'errors' in value || 'graphQLErrors' in value)) return false
  const error = get(value, 'error')
  if (typeof error === 'string' && get(value, 'ok') === false) return hasWord([value], undefined, reading)
  if (!parts.isNothing(get(value, 'data')) || !isErrorAlone(value, error)) return false
  const failure = reading.failure(value, false)
  if (!isOpen(failure)) return false
  // Beside a status, an `error` object is the body of the answer.
  const isCause = parts.isForeign(error) && (failure.status === undefined || parts.isError(error))
  return (isCause && isThrownRejection(error, reading)) || areRejections([failure], reading)
}

function isErrorAlone(value, error) {
  if (parts.entriesOf(value).length > 0 && parts.isWhollyErrors(value)) return true
  if (parts.isForeign(error)) {
    const hasAnswer = isObject(get(get(value, 'response'), 'headers'))
    return parts.isError(error) || 'data' in value || hasAnswer || Object.keys(value).length === 1
  }
  if (typeof get(value, 'error_description') === 'string') return parts.hasOnly(value, parts.ERROR_FIELDS)
  return 'error' in value && parts.hasOnly(value, PAIR) && parts.isAnswer(get(value, 'response'))
}

// Thrown values.

function isThrownRejection(value, reading) {
  if (typeof value === 'string') {
    const parsed = reading.json(value)
    return parsed === undefined
      ? words.messageSignalsRejection(reading.text(value))
      : isThrownRejection(parsed, reading)
  }
  if (!parts.isForeign(value)) return false
  const layers = [value, ...CAUSES.map(name => get(value, name)), reading.json(get(value, 'message'))]
  return areRejections(
    layers.filter(parts.isForeign).map(layer => reading.failure(layer)),
    reading,
  )
}

function areRejections(failures, reading) {
  const open = failures.filter(isOpen)
  if (open.some(failure => isRejectedFailure(failure, reading))) return !hasOtherReason(open, reading)
  if (failures.some(({ status }) => status !== undefined)) return false
  const messages = failures.map(({ value }) => reading.text(get(value, 'message')))
  return messages.some(words.messageSignalsRejection) && !hasOtherReason(open, reading)
}

/** Whether the status allows that the token was rejected. Any other status has another reason. */
function isOpen({ status }) {
  return status === undefined || status < 300 || OPEN_STATUSES.includes(status)
}

function isRejectedFailure(failure, reading) {
  return (
    hasUnauthorizedStatus(failure) ||
    isUnauthenticatedCall(failure.value, reading) ||
    isRefusedLogin(failure.value, reading) ||
    isNamedRejection(failure) ||
    hasRejectingWord(failure, reading)
  )
}

/** A 401 as a status of the failure or of its answer; or as a code or in a body, if there is no other status. */
function hasUnauthorizedStatus({ value, answers, bodies, httpStatus }) {
  if (holds401(value, parts.STATUSES) || answers.some(answer => holds401(answer, parts.ANSWER_STATUSES)))
    return true
  if (httpStatus >= 300) return false
  const nodes = bodies.flatMap(body => [body, get(body, 'error')]).filter(parts.isForeign)
  return holds401(value, parts.NUMBERS) || nodes.some(node => holds401(node, STATUS_FIELDS))
}

function holds401(node, names) {
  return names.some(name => isUnauthorizedStatus(get(node, name)))
}

/** gRPC. Other services use the number 16 too, so other fields have to confirm it. */
function isUnauthenticatedCall(value, reading) {
  if (get(value, 'code') !== UNAUTHENTICATED) return false
  const details = get(value, 'details')
  const isCall = isObject(get(value, 'metadata')) && (typeof details === 'string' || isObject(details))
  return isCall || words.isUnauthenticatedText(reading.text(get(value, 'message')))
}

/** SMTP refuses a login by token. A retry is safe, since no mail is sent before the login; a disabled login stays disabled. */
function isRefusedLogin(value, reading) {
  const command = reading.text(get(value, 'command'))
  const isRefused = get(value, 'responseCode') === LOGIN_REFUSED && TOKEN_LOGIN.test(command)
  return isRefused && !TURNED_OFF.test(reading.text(get(value, 'response')))
}

/** An error whose name is a rejection. Clients also throw a class that is named after the 401 for a 403. */
function isNamedRejection({ value, status }) {
  const name = get(value, 'name')
  const strength = words.strengthOf(name)
  if (strength === undefined) return false
  return words.isClassName(name) ? status !== FORBIDDEN : strength === 'strong'
}

/** A word as the failure's own code, or in an error body whose status allows a rejection. */
function hasRejectingWord({ value, bodies, status, isThrown }, reading) {
  return [value, ...bodies].some(body => {
    if (typeof body === 'string') return words.strengthOf(body) === 'strong'
    if (hasWord(parts.nodesOf(body), status, reading)) return true
    const isError = status >= 400 || (isThrown && body === value)
    if (!isError && !parts.isWhollyErrors(body)) return false
    return parts.allEntriesOf(body).some(entry => isRejectedEntry(entry, status, reading))
  })
}

/** An entry of a list of errors that holds a 401 or a word, itself or in its part of the answer. */
function isRejectedEntry(entry, answerStatus, reading) {
  if (!parts.isAboutRequest(entry)) return false
  if (typeof entry === 'string') return words.strengthOf(entry) === 'strong'
  const extensions = get(entry, 'extensions')
  const layers = [entry, extensions, get(extensions, 'http'), get(extensions, 'response')]
  if (layers.some(layer => holds401(layer, STATUS_FIELDS))) return true
  const status = layers.map(layer => parts.statusOf(layer)).find(Boolean) ?? answerStatus
  return hasWord([entry, extensions], status, reading)
}

/** Whether one of the objects that describe one error has a code that rejects the token. */
function hasWord(nodes, status, reading) {
  return nodes.some(node => {
    // Its code concerns a field of the request, and not the token that came with it.
    if (typeof get(node, 'param') === 'string' || typeof get(node, 'field') === 'string') return false
    if (get(node, 'ok') === false && get(node, 'error') === OWNER_IS_GONE) return true
    if (isDeadTokenPair(node) || isFlagged(node, status) || isNumbered(node, status, reading)) return true
    return WORDS.some(name => isStrongEnough(words.strengthOf(get(node, name)), nodes, status, reading))
  })
}

/** A weak word counts if the status is an error other than 403, or if a text of the same error names the token. */
function isStrongEnough(strength, nodes, status, reading) {
  if (strength !== 'weak') return strength === 'strong'
  if (status >= 400 && status !== FORBIDDEN) return true
  return nodes.some(node => TEXTS.some(name => words.namesToken(reading.text(get(node, name)))))
}

const isDeadTokenPair = node => get(node, 'type') === DEAD_TOKEN.type && get(node, 'code') === DEAD_TOKEN.code

/** `{ code, invalidToken: true }`. */
const isFlagged = (node, status) =>
  BODY_STATUSES.includes(status) &&
  FLAGS.some(name => get(node, name) === true) &&
  CODES.some(name => !parts.isNothing(get(node, name)))

/** `{ code: 4001, message: 'Invalid access token: …' }`: only the service itself knows what its number means. */
const isNumbered = (node, status, reading) =>
  BODY_STATUSES.includes(status) &&
  Number.isInteger(Number(get(node, 'code') ?? Number.NaN)) &&
  words.isInvalidTokenSentence(reading.text(get(node, 'message')))

/** Whether the failures have another reason than the token: another origin answered, or a text names the reason. */
function hasOtherReason(failures, reading) {
  return failures.some(({ value, answers, bodies }) => {
    const request = reading.request ?? get(value, 'request')
    const isOther = answer =>
      words.isScopeChallenge(reading.text(parts.challengeOf(answer))) ||
      parts.isFromElsewhere(answer, request)
    const texts = [value, ...bodies].flatMap(textsOf)
    return [value, ...answers].some(isOther) || texts.some(text => words.namesOtherReason(reading.text(text)))
  })
}

/** The texts in which a body describes its errors. */
function textsOf(body) {
  if (typeof body === 'string') return [body]
  const entries = parts.allEntriesOf(body)
  const nodes = [...parts.nodesOf(body), ...entries, ...entries.map(entry => get(entry, 'extensions'))]
  return nodes.flatMap(node => TEXTS.map(name => get(node, name)))
}

function isUnauthorizedStatus(value) {
  return value === UNAUTHORIZED || words.isUnauthorizedText(value)
}

module.exports = { BODY_STATUSES, isRejectedBody, isRejection }
