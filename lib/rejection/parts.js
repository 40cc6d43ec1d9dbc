// Owns where an answer or a failure has its parts (status, answers, bodies, entries), and reading them: nothing that a
// value does when it is read gets out, and the work is bounded.
'use strict'

const { get, isObject, listed } = require('../checks.js')
const { isXkitError } = require('../errors.js')

const MAX_ENTRIES = 20
const MAX_BODIES = 16
const MAX_TEXT = 2000
const MAX_TEXTS = 256 * 1024
const MAX_JSON = 64 * 1024
const CHALLENGE = 'www-authenticate'

const named = text => text.trim().split(/\s+/)

const STATUSES = named('status statusCode httpStatusCode httpStatus')
const NUMBERS = named('code errorCode error_code')
const ANSWER_STATUSES = [...STATUSES, 'code']
const ANSWERS = named('response res responseInfo rawResponse output $metadata')
const BODIES = named('body data error result _data bodyText')
const ENTRIES = named('errors graphQLErrors')

/** The fields of what HTTP clients give for an answer. */
const ANSWER_FIELDS = named(`
  status statusCode statusText statusMessage ok type headers rawHeaders trailers data body rawBody bodyText bodyAsText
  parsedBody text _data opaque context config request req res response options method httpVersion cookies url requestUrl
  redirected redirects redirectUrls isFromCache ip retryCount size timing timings duration elapsed elapsedTime
  responseTime error result requestUrls retries socketErrorRetries parsedHeaders blobBody readableStreamBody`)
/** The fields of a result that is wholly errors. */
const RESULT_FIELDS = [...ANSWER_FIELDS, ...ENTRIES, ...named('extensions success requestId request_id')]
/** The fields with which services describe an error of a request. An entry that has others is about something else. */
const ERROR_FIELDS = named(`
  ${[...STATUSES, ...NUMBERS].join(' ')} type errorType error_type name __typename .tag error err ok success reason
  category domain location locationType severity retryable message title detail details description error_description
  error_uri errorMessage error_message userMessage developerMessage debugMessage extensions locations path links meta
  source fields field param help help_url extendedHelp documentation_url moreInfo info phrase instance errorInfo
  context_info debugInfo traceId requestId request_id timestamp data http`)

/** One judgement's reading: each text counts against a budget for all. */
class Reading {
  #textsLeft = MAX_TEXTS
  #jsonLeft = MAX_JSON
  #parsed

  constructor(request) {
    this.request = request
  }

  /** The beginning of a text; empty for anything else, and beyond the budget. */
  text(value) {
    if (typeof value !== 'string') return ''
    const text = value.slice(0, Math.min(MAX_TEXT, this.#textsLeft)).trim()
    this.#textsLeft -= text.length
    return text
  }

  /** The value of a JSON text; `undefined` for anything else, and beyond the budget. */
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

  /** A thrown value, or a layer of one, taken apart. */
  failure(value, isThrown = true) {
    const answers = answersOf(value)
    const [httpStatus, status] = [httpStatusOf(value, answers), statusOf(value, answers)]
    return { value, answers, bodies: this.#bodiesOf(value, answers), httpStatus, status, isThrown }
  }

  /** The bodies that a failure or its answers carry: objects, or texts. */
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

/** The HTTP status that a failure names, outside of its codes. */
function httpStatusOf(value, answers = answersOf(value)) {
  const own = STATUSES.map(name => get(value, name))
  const answered = answers.flatMap(answer => ANSWER_STATUSES.map(name => get(answer, name)))
  return [...own, ...answered].map(toStatus).find(status => status !== undefined)
}

/** The HTTP status, also from a code where that is an error status: other codes may number anything. */
function statusOf(value, answers) {
  const status = httpStatusOf(value, answers)
  return status ?? NUMBERS.map(name => toStatus(get(value, name))).find(code => code >= 400)
}

/** The objects of a body that describe it: itself, and its error. */
function nodesOf(body) {
  const error = get(body, 'error')
  return [body, error, get(error, 'error')].filter(isObject)
}

/** The errors that a result lists, where it has no data. */
function entriesOf(body) {
  return isNothing(get(body, 'data')) ? ENTRIES.flatMap(name => listed(get(body, name), MAX_ENTRIES)) : []
}

/** The errors that the body of a failure lists, in any of its places. */
function allEntriesOf(body) {
  return [
    ...listed(body, MAX_ENTRIES),
    ...entriesOf(body),
    ...listed(get(get(body, 'error'), 'errors'), MAX_ENTRIES),
  ]
}

/** Whether nothing but errors came: then these are about the request, and not about a part of what it did. */
function isWhollyErrors(body) {
  const success = get(body, 'success') ?? false
  return success === false && hasOnly(body, RESULT_FIELDS)
}

/** Whether an entry is about the request, as far as its fields tell. */
function isAboutRequest(entry) {
  return typeof entry === 'string' || isError(entry) || hasOnly(entry, ERROR_FIELDS)
}

/** Whether an HTTP client made this object for an answer; a record that holds somebody else's status is none. */
function isAnswer(value) {
  if (!isObject(get(value, 'headers'))) return false
  if (typeof get(value, 'json') === 'function' || isStream(value)) return true
  // Interceptors add fields of their own.
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
 * Whether a redirect to another origin led to an answer: clients drop the token there. `request` is the first request,
 * where it is known; without it, every redirect counts as one to another origin.
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

/** A body that nobody has read yet. */
const isStream = value =>
  typeof get(value, 'getReader') === 'function' || typeof get(value, 'pipe') === 'function'

/** By its shape, since there is an Error in each realm. */
const isError = value => typeof get(value, 'message') === 'string' && typeof get(value, 'stack') === 'string'

/** An object of somebody else: an error of this package is about the platform, not about a service. */
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
  named,
  nodesOf,
  statusOf,
  toStatus,
}
