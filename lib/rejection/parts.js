// Owns finding the parts of an answer or a failure (status, answers, bodies, entries). Reading them is bounded, and never
// throws.
'use strict'

const { get, isObject, listed, named } = require('../checks.js')
const { isXkitError } = require('../errors.js')

const MAX_ENTRIES = 20
const MAX_BODIES = 16
const MAX_TEXT = 2000
const MAX_TEXTS = 256 * 1024
const MAX_JSON = 64 * 1024
const CHALLENGE = 'www-authenticate'

const STATUSES = named('status statusCode httpStatusCode httpStatus')
const NUMBERS = named('code errorCode error_code')
const ANSWER_STATUSES = [...STATUSES, 'code']
const ANSWERS = named('response res responseInfo rawResponse output $metadata')
const BODIES = named('body data error result _data bodyText')
const ENTRIES = named('errors graphQLErrors')

/** The fields of the answers that HTTP clients return. */
const ANSWER_FIELDS = named(
  'status statusCode statusText statusMessage ok type headers rawHeaders trailers data body rawBody ' +
    'bodyText bodyAsText parsedBody text _data opaque context config request req res response options ' +
    'method httpVersion cookies url requestUrl redirected redirects redirectUrls isFromCache ip retryCount ' +
    'size timing timings duration elapsed elapsedTime responseTime error result requestUrls retries ' +
    'socketErrorRetries parsedHeaders blobBody readableStreamBody',
)
/** The fields of a result that consists of errors alone. */
const RESULT_FIELDS = [...ANSWER_FIELDS, ...ENTRIES, 'extensions', 'success', 'requestId', 'request_id']
/** The fields with which services describe the error of a request. An entry with others describes something else. */
const ERROR_FIELDS = [
  ...STATUSES,
  ...NUMBERS,
  ...named(
    'type errorType error_type name __typename .tag error err ok success reason category domain location ' +
      'locationType severity retryable message title detail details description error_description error_uri ' +
      'errorMessage error_message userMessage developerMessage debugMessage extensions locations path links ' +
      'meta source fields field param help help_url extendedHelp documentation_url moreInfo info phrase ' +
      'instance errorInfo context_info debugInfo traceId requestId request_id timestamp data http',
  ),
]

/** The reading for one judgement, with one budget for all texts. */
class Reading {
  #textsLeft = MAX_TEXTS
  #jsonLeft = MAX_JSON
  #parsed

  constructor(request) {
    this.request = request
  }

  /** The beginning of a text; empty for any other value, and once the budget is spent. */
  text(value) {
    if (typeof value !== 'string') return ''
    const text = value.slice(0, Math.min(MAX_TEXT, this.#textsLeft)).trim()
    this.#textsLeft -= text.length
    return text
  }

  /** The value of a JSON text; `undefined` for any other value, and once the budget is spent. */
  json(text) {
    if (typeof text !== 'string' || text.length > MAX_JSON || !/^\s*[{[]/.test(text)) return undefined
    this.#parsed ??= new Map()
    if (!this.#parsed.has(text)) this.#parsed.set(text, this.#parse(text))
    return this.#parsed.get(text)
  }

  #parse(text) {
    if (text.length > this.#jsonLeft) return undefined
    this.#jsonLeft -= text.length
    try {
      return JSON.parse(text)
    } catch {
      return undefined
    }
  }

  /** The parts of a thrown value, or of a layer of one. */
  failure(value, isThrown = true) {
    const answers = answersOf(value)
    const [httpStatus, status] = [httpStatusOf(value, answers), statusOf(value, answers)]
    return { value, answers, bodies: this.#bodiesOf(value, answers), httpStatus, status, isThrown }
  }

  /** The bodies of a failure and of its answers, as objects or texts. */
  #bodiesOf(value, answers) {
    const found = [value, ...answers].flatMap(holder => BODIES.map(name => get(holder, name)))
    const read = found.map(body => this.json(body) ?? body)
    const bodies = [...new Set([...answers, ...read])].filter(
      body => typeof body === 'string' || isForeign(body),
    )
    return bodies.slice(0, MAX_BODIES)
  }
}

function answersOf(value) {
  return ANSWERS.map(name => get(value, name)).filter(isObject)
}

/** The HTTP status of a failure, without its codes. */
function httpStatusOf(value, answers = answersOf(value)) {
  const own = STATUSES.map(name => get(value, name))
  const answered = answers.flatMap(answer => ANSWER_STATUSES.map(name => get(answer, name)))
  return [...own, ...answered].map(toStatus).find(status => status !== undefined)
}

/** The HTTP status, or a code that is an error status. Smaller codes may number anything. */
function statusOf(value, answers) {
  const status = httpStatusOf(value, answers)
  return status ?? NUMBERS.map(name => toStatus(get(value, name))).find(code => code >= 400)
}

/** The objects in which a body describes its error: the body itself, and its `error`. */
function nodesOf(body) {
  const error = get(body, 'error')
  return [body, error, get(error, 'error')].filter(isObject)
}

/** The listed errors of a result without data. */
function entriesOf(body) {
  return isNothing(get(body, 'data')) ? ENTRIES.flatMap(name => listed(get(body, name), MAX_ENTRIES)) : []
}

/** The errors that the body of a failure lists, in any place. */
function allEntriesOf(body) {
  return [
    ...listed(body, MAX_ENTRIES),
    ...entriesOf(body),
    ...listed(get(get(body, 'error'), 'errors'), MAX_ENTRIES),
  ]
}

/** Whether a body consists of errors alone, which then concern the whole request and not a part of it. */
function isWhollyErrors(body) {
  const success = get(body, 'success') ?? false
  return success === false && hasOnly(body, RESULT_FIELDS)
}

/** Whether an entry concerns the request, judging by its fields. */
function isAboutRequest(entry) {
  return typeof entry === 'string' || isError(entry) || hasOnly(entry, ERROR_FIELDS)
}

/** Whether an HTTP client made this object for an answer. A record of another request's answer has other fields too. */
function isAnswer(value) {
  if (!isObject(get(value, 'headers'))) return false
  if (typeof get(value, 'json') === 'function' || isStream(value)) return true
  // Interceptors may have added fields.
  const isOfClient = isObject(get(value, 'config')) && isObject(get(value, 'request'))
  return isOfClient || hasOnly(value, ANSWER_FIELDS)
}

function hasOnly(value, names) {
  try {
    return Object.keys(value).every(name => names.includes(name))
  } catch {
    return false
  }
}

/** The `WWW-Authenticate` of an answer. */
function challengeOf(answer) {
  const headers = get(answer, 'headers')
  try {
    return headers?.get?.(CHALLENGE) ?? headers?.[CHALLENGE]
  } catch {
    return undefined
  }
}

/**
 * Whether an answer came from another origin after a redirect, to which clients do not send the token. `request` is the first
 * request, if known; otherwise every redirect counts as one to another origin.
 */
function isFromElsewhere(answer, request) {
  const sent = get(answer, 'request')
  const last = originOf(get(answer, 'url')) ?? originOf(get(get(sent, 'res'), 'responseUrl'))
  const config = get(answer, 'config')
  const firsts = [get(answer, 'requestUrl'), get(request, 'url'), get(config, 'url')]
  const first = firsts.map(url => originOf(url, get(config, 'baseURL'))).find(Boolean)
  if (first !== undefined && last !== undefined) return first !== last
  return get(answer, 'redirected') === true || listed(get(answer, 'redirects'), 1).length > 0
}

function originOf(url, base) {
  try {
    return new URL(url, base).origin
  } catch {
    return undefined
  }
}

function toStatus(value) {
  const status = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value
  return Number.isInteger(status) && status >= 100 && status < 600 ? status : undefined
}

const isNothing = value => value === undefined || value === null

/** A body that is still to be read. */
const isStream = value =>
  typeof get(value, 'getReader') === 'function' || typeof get(value, 'pipe') === 'function'

/** By its shape, since each realm has an Error class of its own. */
const isError = value => typeof get(value, 'message') === 'string' && typeof get(value, 'stack') === 'string'

/** An object that may describe a service's answer. An error of this package describes the platform's. */
function isForeign(value) {
  try {
    return isObject(value) && !isXkitError(value)
  } catch {
    return false
  }
}

module.exports = {
  ANSWER_STATUSES,
  ERROR_FIELDS,
  NUMBERS,
  Reading,
  allEntriesOf,
  STATUSES,
  challengeOf,
  entriesOf,
  hasOnly,
  isAboutRequest,
  isAnswer,
  isError,
  isForeign,
  isFromElsewhere,
  isNothing,
  isStream,
  isWhollyErrors,
  nodesOf,
  statusOf,
  toStatus,
}
