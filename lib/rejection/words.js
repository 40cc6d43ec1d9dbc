// Owns the words with which services reject a token, and those with which they reject something else. No word names a service.
'use strict'

const { named } = require('../checks.js')

const MAX_WORD = 40

// The words are in the form that `normalized` gives them.
const TOKENS = named('token accesstoken authtoken oauthtoken bearertoken authenticationtoken')
const STATES = ['invalid', 'expired', 'revoked']
const STRONG = new Set([
  ...TOKENS.flatMap(token => STATES.flatMap(state => [state + token, token + state])),
  ...named(
    'invalidauth notauthed invalidsessionid badoauthtoken invalidauthentication expiredauthentication ' +
      'unauthenticated notauthenticated authenticationfailed invalidoauthaccesstoken',
  ),
])
/** Services also use these for a missing role. */
const WEAK = new Set(['unauthorized', 'authenticationerror'])

/** The end of a class name, which a code does not have. */
const CLASS_SUFFIX = /(?<=[a-z])(?:Error|Exception)$/
const SUFFIX = /(?:error|exception)$/
const NAMESPACE = /^\w+:(?=\w)/

const UNAUTHENTICATED = /\bUNAUTHENTICATED\b/i
const STATUS_TEXT = /^(?:(?:error[ _-]?)?http[ _-]?)?401(?:[ _-]?unauthorized)?$/i
const UNAUTHORIZED_MESSAGE =
  /\b(?:http|status|response)(?:[ _-]?(?:error|status|code|response))*["']?[ :=]+401\b|\b401\b[ :,()-]*(?:unauthorized|not[ _-]authori[sz]ed)\b/i
/** Only the expiry of an access token counts, and not that of a page, reset, upload or refresh token. */
const EXPIRED_MESSAGE =
  /(?:^|[^\w\s]\s*|\b(?:the|this|your|my|access|auth|authentication|oauth2?|bearer|api|jwt|session|developer|provided)\s+)token\s+(?:(?:has|is|was)\s+)?(?:been\s+)?(?:expired|revoked)\b/i
const INVALID_TOKEN_SENTENCE = /^invalid access token\b/i
const TOKEN = /(?<!\b(?:refresh|csrf|xsrf|page|reset|upload|id)[\s_-]*)token\b/i
/** The token is valid but lacks a scope or a permission, or a refresh or the application itself was refused. */
const OTHER_REASON =
  /(?:^|[^a-z]|insufficient|missing|invalid)scopes?(?![a-z])|permissions?(?![a-z])|\binvalid_(?:grant|client)\b|\bunauthorized_client\b/i
const LINK = /https?:\S*/g
const INSUFFICIENT_SCOPE = /\berror="?insufficient_scope\b/i

/** How strongly a code signals a rejection: `'strong'`, `'weak'` or `undefined`. A word inside a sentence does not count. */
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

/** Whether a message rejects the token. Callers prefer statuses and codes to it. */
function messageSignalsRejection(text) {
  if (namesOtherReason(text)) return false
  return strengthOf(text) === 'strong' || UNAUTHORIZED_MESSAGE.test(text) || EXPIRED_MESSAGE.test(text)
}

/**
 * Whether a text names a scope, a permission or a refresh as the reason. Reads neither links, nor HTML, nor the request and
 * headers that some clients append: these may name scopes in any case.
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
/** Reads the `error` of a `WWW-Authenticate` alone: the header may list required scopes beside any other reason. */
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
