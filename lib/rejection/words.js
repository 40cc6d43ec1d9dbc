// Owns the words that say that a token was rejected, and those that say that something else was. They name no service.
'use strict'

const MAX_WORD = 40

const TOKENS = ['token', 'access_token', 'auth_token', 'oauth_token', 'bearer_token', 'authentication_token']
const STATES = ['invalid', 'expired', 'revoked']
const STRONG = new Set(
  [
    ...TOKENS.flatMap(token => STATES.flatMap(state => [`${state}_${token}`, `${token}_${state}`])),
    ...['invalid_auth', 'not_authed', 'invalid_session_id', 'bad_oauth_token', 'invalid_authentication'],
    ...['expired_authentication', 'unauthenticated', 'not_authenticated', 'authentication_failed'],
    'invalid_oauth_access_token',
  ].map(normalized),
)
/** Services also say these of a missing role. */
const WEAK = new Set(['unauthorized', 'authentication_error'].map(normalized))

/** The end of a class's name, as opposed to a code. */
const CLASS_SUFFIX = /(?<=[a-z])(?:Error|Exception)$/
const SUFFIX = /(?:error|exception)$/
const NAMESPACE = /^\w+:(?=\w)/

const UNAUTHENTICATED = /\bUNAUTHENTICATED\b/i
const STATUS_TEXT = /^(?:(?:error[ _-]?)?http[ _-]?)?401(?:[ _-]?unauthorized)?$/i
const UNAUTHORIZED_MESSAGE =
  /\b(?:http|status|response)(?:[ _-]?(?:error|status|code|response))*["']?[ :=]+401\b|\b401\b[ :,()-]*(?:unauthorized|not[ _-]authori[sz]ed)\b/i
/** Only an access token's expiry counts: those of a page, a reset, an upload or a refresh are something else. */
const EXPIRED_MESSAGE =
  /(?:^|[^\w\s]\s*|\b(?:the|this|your|my|access|auth|authentication|oauth2?|bearer|api|jwt|session|developer|provided)\s+)token\s+(?:(?:has|is|was)\s+)?(?:been\s+)?(?:expired|revoked)\b/i
const INVALID_TOKEN_SENTENCE = /^invalid access token\b/i
const TOKEN = /(?<!\b(?:refresh|csrf|xsrf|page|reset|upload|id)[\s_-]*)token\b/i
/** The token is valid, but not for this; or a refresh or the application itself was refused. */
const OTHER_REASON =
  /(?:^|[^a-z]|insufficient|missing|invalid)scopes?(?![a-z])|permissions?(?![a-z])|\binvalid_(?:grant|client)\b|\bunauthorized_client\b/i
const LINK = /https?:\S*/g
const INSUFFICIENT_SCOPE = /\berror="?insufficient_scope\b/i

/** How much a text says as a code: `'strong'`, `'weak'`, or nothing. It is compared whole, never inside a sentence. */
function strengthOf(value) {
  if (typeof value !== 'string' || value.length > MAX_WORD) return undefined
  const word = normalized(value.replace(NAMESPACE, ''))
  const stem = word.replace(SUFFIX, '')
  if (STRONG.has(word) || STRONG.has(stem)) return 'strong'
  return WEAK.has(word) || WEAK.has(stem) ? 'weak' : undefined
}

function normalized(word) {
  return word.toLowerCase().replaceAll(/[\s_.-]/g, '')
}

/** Judges a message, for where nothing else says more. */
function messageSignalsRejection(text) {
  if (namesOtherReason(text)) return false
  return strengthOf(text) === 'strong' || UNAUTHORIZED_MESSAGE.test(text) || EXPIRED_MESSAGE.test(text)
}

/**
 * Whether a text says that a scope, a permission or a refresh was refused, and not the token. Some clients append the
 * request and all headers, which may name scopes in any case; so may a page of HTML, or a link.
 */
function namesOtherReason(text) {
  const [words] = text.split(/[{\n]|^</, 1)
  return OTHER_REASON.test(words.replaceAll(LINK, ''))
}

const isClassName = text => CLASS_SUFFIX.test(text)
const namesToken = text => TOKEN.test(text)
const isInvalidTokenSentence = text => INVALID_TOKEN_SENTENCE.test(text)
const isUnauthenticatedText = text => UNAUTHENTICATED.test(text)
const isUnauthorizedText = text =>
  typeof text === 'string' && text.length <= MAX_WORD && STATUS_TEXT.test(text)
/** Reads the error of a `WWW-Authenticate`, which may name the scopes that are needed beside any other reason. */
const isScopeChallenge = text => INSUFFICIENT_SCOPE.test(text)

module.exports = {
  isClassName,
  isInvalidTokenSentence,
  isScopeChallenge,
  isUnauthenticatedText,
  isUnauthorizedText,
  messageSignalsRejection,
  namesOtherReason,
  namesToken,
  strengthOf,
}
