// Owns the words that tell of a rejected token, and those that tell of something else. They name no service.
'use strict'

const FORBIDDEN = 403
const MAX_TEXT = 2000
const MAX_WORD = 40

const TOKENS = ['token', 'access_token', 'auth_token', 'oauth_token', 'bearer_token', 'authentication_token']
const STATES = ['invalid', 'expired', 'revoked']
const WORDS = new Set(
  [
    ...TOKENS.flatMap(token => STATES.flatMap(state => [`${state}_${token}`, `${token}_${state}`])),
    ...['invalid_auth', 'not_authed', 'invalid_session_id', 'bad_oauth_token', 'invalid_authentication'],
    ...['expired_authentication', 'unauthenticated', 'not_authenticated', 'authentication_error'],
    ...['authentication_failed', 'invalid_oauth_access_token', 'unauthorized'],
  ].map(normalized),
)

/** The end of a class's name, as opposed to a code. */
const CLASS_SUFFIX = /(?<=[a-z])(?:Error|Exception)$/
const SUFFIX = /(?:error|exception)$/
const UNAUTHENTICATED = /\bUNAUTHENTICATED\b/i
const NAMESPACE = /^\w+:(?=\w)/

const STATUS_TEXT = /^(?:(?:error[ _-]?)?http[ _-]?)?401(?:[ _-]?unauthorized)?$/i
const UNAUTHORIZED_MESSAGE =
  /\b(?:http|status|response)(?:[ _-]?(?:error|status|code|response))*["']?[ :=]+401\b|\b401\b[ :,()-]*(?:unauthorized|not[ _-]authori[sz]ed)\b/i
/** Only an access token's end counts: those of a page, a reset, an upload or a refresh are something else. */
const EXPIRED_MESSAGE =
  /(?:^|[^\w\s]\s*|\b(?:the|this|your|my|access|auth|authentication|oauth2?|bearer|api|jwt|session|developer|provided)\s+)token\s+(?:(?:has|is|was)\s+)?(?:been\s+)?(?:expired|revoked)\b/i
/** A token that is good, but not for this; or the refusal of a refresh or of the application itself. */
const OTHER_REASON =
  /(?:^|[^a-z]|insufficient|missing|invalid)scopes?(?![a-z])|permissions?(?![a-z])|\binvalid_(?:grant|client)\b|\bunauthorized_client\b/i
const LINK = /https?:\S*/g
const INSUFFICIENT_SCOPE = /\berror="?insufficient_scope\b/i

/** Whether a text is a word of the list: compared whole, never inside a sentence. `unauthorized` may also mean what a 403 means. */
function isWord(value, status) {
  if (typeof value !== 'string' || value.length > MAX_WORD) return false
  const word = normalized(value.replace(NAMESPACE, ''))
  const stem = word.replace(SUFFIX, '')
  return (WORDS.has(word) || WORDS.has(stem)) && !(stem === 'unauthorized' && status === FORBIDDEN)
}

function normalized(word) {
  return word.toLowerCase().replaceAll(/[\s_.-]/g, '')
}

/** The words of a message, for where there is nothing else to go by. */
function isTelling(message) {
  const text = textOf(message)
  if (namesOtherReason(text)) return false
  return isWord(text) || UNAUTHORIZED_MESSAGE.test(text) || EXPIRED_MESSAGE.test(text)
}

/**
 * Whether a text says that something else is refused than the token: a scope, a permission, a refresh. Some clients
 * write the request and all headers behind it, which may name scopes in any case; so may a page of HTML, or a link.
 */
function namesOtherReason(text) {
  const [words] = textOf(text).split(/[{\n]|^</, 1)
  return OTHER_REASON.test(words.replaceAll(LINK, ''))
}

/** The same of a `WWW-Authenticate`, which may name the scopes that are needed beside whatever is wrong. */
function isScopeChallenge(header) {
  return INSUFFICIENT_SCOPE.test(textOf(header))
}

function isUnauthorizedText(text) {
  return typeof text === 'string' && text.length <= MAX_WORD && STATUS_TEXT.test(text)
}

function isUnauthenticatedText(text) {
  return UNAUTHENTICATED.test(textOf(text))
}

function isClassName(text) {
  return typeof text === 'string' && CLASS_SUFFIX.test(text)
}

function textOf(value) {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT).trim() : ''
}

module.exports = {
  isClassName,
  isScopeChallenge,
  isTelling,
  isUnauthenticatedText,
  isUnauthorizedText,
  isWord,
  namesOtherReason,
}
