// Owns the proof of what counts as a rejected token: each rule with the shapes that it is for, as SDKs return or throw
// them, and with the traps that it must not take.
'use strict'

const { readFileSync } = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')
const { XkitApiError, XkitClient } = require('..')
const { isRejectedBody, isRejection } = require('../lib/rejection/index.js')

const error = (fields, message = 'from an SDK') => Object.assign(new Error(message), fields)
const named = (name, fields, message) => error({ name, ...fields }, message)
const response = (status, init) => new Response(null, { status, ...init })
const axiosError = (status, data) =>
  named('AxiosError', { code: 'ERR_BAD_REQUEST', status, response: { status, data, headers: {} } })
const gotError = (statusCode, body) =>
  named('HTTPError', { code: 'ERR_NON_2XX_3XX_RESPONSE', response: { statusCode, body, headers: {} } })
const grpcError = (code, details) =>
  error({ code, details, metadata: { internalRepr: new Map(), options: {} } }, `${code} X: ${details}`)
const graphql = (...errors) => ({ errors })
const coded = (code, more) => ({ message: 'no', extensions: { code, ...more } })

const rejected = (shapes, isThrown) =>
  test.each(shapes)('%s', (_what, value) => expect(isRejection(value, isThrown)).toBe(true))
const accepted = (shapes, isThrown) =>
  test.each(shapes)('%s', (_what, value) => expect(isRejection(value, isThrown)).toBe(false))

describe('a 401 as a status', () => {
  describe('is taken from what was thrown:', () => {
    rejected(
      [
        ['status', error({ status: 401 })],
        ['status as text', error({ status: '401' })],
        ['statusCode', error({ statusCode: 401 })],
        ['httpStatusCode', error({ httpStatusCode: 401 })],
        ['code', error({ code: 401, body: {}, headers: {} })],
        ['code as text', error({ code: '401' })],
        ['errorCode', error({ errorCode: 401 })],
        ['a code that spells it', named('ERROR_HTTP_401', { errorCode: 'ERROR_HTTP_401' })],
        ['the status line', error({ status: '401 Unauthorized' })],
        ['a plain object', { statusCode: 401, message: 'no' }],
        ['response.status', axiosError(401, {})],
        ['response.statusCode', gotError(401, '')],
        ['response.code', error({ response: { code: 401, statusText: 'Unauthorized', body: {} } })],
        ['a Response itself', response(401)],
        ['a response that is a Response', error({ response: response(401) })],
        ['res', error({ res: { statusCode: 401 } })],
        ['what an SDK tells of the call', error({ $metadata: { httpStatusCode: 401, attempts: 1 } })],
        ['output', error({ output: { statusCode: 401, payload: {} } })],
        ['a body that was thrown', { error: { status: 401, message: 'The access token expired' } }],
        ['the body of an error without a status', error({ data: { statusCode: 401, message: 'no' } })],
        [
          'raw',
          error({ status: 200, raw: { response: { status: 200, errors: [coded('UNAUTHENTICATED')] } } }),
        ],
        ['responseInfo', error({ responseInfo: { statusCode: 401 } })],
        ['cause.status', error({ cause: error({ status: 401 }) })],
        ['cause.response', error({ cause: { description: 'no', response: response(401) } })],
        ['networkError', error({ networkError: error({ statusCode: 401, result: {} }) })],
        ['the cause of what a gateway throws on', error({ status: 502, cause: axiosError(401) })],
        ['a string of JSON', JSON.stringify({ response: { statusCode: 401, body: {} }, body: {} })],
        ['a message of JSON', named('X', {}, JSON.stringify({ status: 401, statusText: 'Unauthorized' }))],
        ['a code beside a 200', error({ status: 200, code: 401 })],
        ['an error of another realm', vm.runInNewContext('Object.assign(new Error(), { status: 401 })')],
      ],
      true,
    )
  })

  describe('is not taken from', () => {
    accepted(
      [
        ['the number itself', 401],
        ['the number as text', '401'],
        ['a message about a number', error({}, 'Invoice 401 failed')],
        ['a longer number', error({ status: 4010 })],
        ['a code that holds it', error({ code: 'E4011' })],
        ['a code beside another status', error({ status: 404, code: 401 })],
        ['a code beside the status of the answer', error({ code: '401', response: { status: 422 } })],
        ['a body beside another status', error({ status: 404, body: { code: 401 } })],
        ['two layers deep', error({ cause: { cause: error({ status: 401 }) } })],
        ['the request', error({ request: { status: 401 }, config: { status: 401 } })],
        ['a 403', axiosError(403, { message: 'Forbidden' })],
        ['a 404', error({ status: 404 })],
        ['a 407', error({ status: 407 })],
        ['a 429', error({ status: 429 })],
        ['a 500', error({ status: 500 })],
        ['null', null],
        ['undefined', undefined],
        ['a function', () => {}],
        ['an ordinary error', new TypeError('fetch failed')],
        ['an abort', new DOMException('This operation was aborted', 'AbortError')],
      ],
      true,
    )
  })
})

describe('a returned answer', () => {
  describe('is taken:', () => {
    rejected(
      [
        ['a Response', response(401)],
        ['status beside plain headers', { status: 401, headers: {}, data: {} }],
        ['status beside a Map', { status: 401, headers: new Map() }],
        ['an answer of a typed client', { statusCode: 401, result: null, headers: {} }],
        [
          'an answer with the course of its request',
          { status: 401, headers: {}, data: '', opaque: null, url: '', requestUrls: ['a'], retries: 0 },
        ],
        [
          'an answer to which an interceptor added',
          { status: 401, headers: {}, config: {}, request: {}, id: 7 },
        ],
        ['statusCode beside another status', { status: 'error', statusCode: 401, headers: {} }],
        ['a 200 whose data is no', { status: 200, headers: {}, data: { ok: false, error: 'token_expired' } }],
        [
          'a 200 whose body is of GraphQL',
          { statusCode: 200, headers: {}, body: graphql(coded('UNAUTHENTICATED')) },
        ],
        ['a 403 whose data has a code', { status: 403, headers: {}, data: { err: 'Invalid token' } }],
        ['statusCode beside headers', { statusCode: 401, headers: { date: 'today' }, body: {} }],
        ['of another realm', vm.runInNewContext('({ statusCode: 401, headers: {} })')],
        ['status as text beside headers', { status: '401', headers: {}, body: {} }],
        ['a 400 whose body is text', { statusCode: 400, headers: {}, body: '{"error":"invalid_token"}' }],
        [
          'errors of an answer that is no success',
          { requestId: 'e42b', success: false, errors: [{ code: '602', message: 'Access token expired' }] },
        ],
        ['errors with a 401', { errors: [{ status: '401', title: 'Unauthorized' }] }],
        ['errors with a 401 and no data', { data: null, errors: [coded('X', { http: { status: 401 } })] }],
        ['a result pair', { data: null, error: error({ status: 401 }) }],
        [
          'a result pair of plain objects',
          { data: null, error: { message: 'no', status: '401' }, count: null },
        ],
        ['a result pair whose own status tells', { data: null, error: { message: 'no' }, status: 401 }],
        ['an error beside its response', { error: { message: 'no' }, response: response(401) }],
        ['no error beside its response', { error: undefined, response: response(401) }],
        [
          'a text beside its response',
          { data: undefined, error: 'no', response: response(401), request: {} },
        ],
        ['an error body as OAuth has it', { error: 'invalid_token', error_description: 'The token expired' }],
        ['an Error alone', { error: error({ statusCode: 401 }), isOk: false }],
        ['an error body', { error: { code: 401, status: 'UNAUTHENTICATED', message: 'no' } }],
      ],
      false,
    )
  })

  describe('is not taken:', () => {
    accepted(
      [
        ['a status without headers', { status: 401 }],
        [
          'a 403 whose body is a stream',
          { statusCode: 403, headers: {}, body: new Response('{"error":"x"}').body },
        ],
        ['an Error', error({ status: 401 })],
        ['a Response with 403', response(403)],
        ['a 403 whose data has none', { status: 403, headers: {}, data: { message: 'Forbidden' } }],
        ['a 404 whose data has a code', { status: 404, headers: {}, data: { error: 'invalid_token' } }],
        ['a 200 for a scope', { status: 200, headers: {}, data: { ok: false, error: 'missing_scope' } }],
        ['data that is no answer’s', { id: 1, data: { ok: false, error: 'token_expired' } }],
        ['a Response with 200', response(200)],
        ['text', 'HTTP 401'],
        ['the log of a delivery', { id: 1, status_code: 401, response: { status: 401, headers: {} } }],
        ['the log of one without an error', { id: 1, error: null, response: { status: 401, headers: {} } }],
        [
          'a result whose error tells of a number',
          { error: { message: 'status 401' }, response: response(500) },
        ],
        ['a result whose Error does', { error: error({}, 'status 401'), response: response(500) }],
        ['a result of a 403 whose error does', { error: { message: 'status 401' }, response: response(403) }],
        ['a result that is about a scope', { error: { message: 'missing scope' }, response: response(401) }],
        ['a refresh', { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' }],
        [
          'an error body about a scope',
          { error: 'invalid_token', error_description: 'The scope is missing' },
        ],
        ['a job that failed', { id: 'job_1', state: 'failed', error: { code: 401, type: 'unauthorized' } }],
        ['an error beside data', { data: [1], error: error({ status: 401 }) }],
        ['errors beside data', { data: { a: 1 }, errors: [coded('UNAUTHENTICATED')] }],
        ['a list', [{ status: 401, headers: {} }]],
        [
          'a 401 for a scope',
          { status: 401, headers: {}, data: { message: 'Unauthorized; scope does not match' } },
        ],
        [
          'a Response that asks for a scope',
          response(401, {
            headers: { 'www-authenticate': 'Bearer error="insufficient_scope", scope="a b"' },
          }),
        ],
        ['bytes', Buffer.from('401')],
        ['nothing', null],
      ],
      false,
    )
  })

  test('is taken although its challenge names the scopes that it is about', () => {
    const headers = { 'www-authenticate': 'Bearer realm="x", scope="read write", error="invalid_token"' }
    expect(isRejection(response(401, { headers }), false)).toBe(true)
  })
})

describe('gRPC', () => {
  rejected(
    [
      ['16 beside details and metadata', grpcError(16, 'Request had invalid authentication credentials.')],
      ['16 with a list of details', error({ code: 16, details: [], metadata: new Headers() })],
      ['16 in the words of the message', error({ code: 16 }, '/x.Y/Z UNAUTHENTICATED: no')],
    ],
    true,
  )
  accepted(
    [
      ['16 alone', error({ code: 16 })],
      ['16 of a row', { code: 16, details: 'sixteen' }],
      ['7', grpcError(7, 'Request had insufficient authentication scopes.')],
      ['5', grpcError(5, 'no such thing')],
      ['8', grpcError(8, 'Quota exceeded')],
      ['14', grpcError(14, 'read ECONNRESET')],
      ['16 for the refresh', grpcError(16, 'Getting metadata from plugin failed with error: invalid_grant')],
    ],
    true,
  )
})

describe('a word of the list', () => {
  const WORDS = [
    ...[
      'token_expired',
      'expired_token',
      'token_revoked',
      'invalid_token',
      'invalid_auth',
      'INVALID_SESSION_ID',
    ],
    ...['expired_access_token', 'invalid_access_token', 'ACCESS_TOKEN_EXPIRED', 'access_token_invalid'],
    ...['UNAUTHENTICATED', 'Not Authenticated', 'not_authed', 'AUTHENTICATION_FAILED'],
    ...['InvalidAuthenticationToken', 'Invalid token', 'token-expired', 'REVOKED_ACCESS_TOKEN'],
  ]

  test.each(WORDS)('%s is one, wherever a code may be', word => {
    const thrown = [
      ...['code', 'errorCode', 'type', 'name'].map(name => error({ [name]: word })),
      error({ code: 'an_error', data: { ok: false, error: word } }),
      axiosError(400, { error: word }),
      axiosError(400, { error: { type: word } }),
      axiosError(400, { errors: [{ code: word }] }),
      error({ status: 400, body: JSON.stringify({ code: word }) }),
      error({ errors: [coded(word)] }),
      error({ graphQLErrors: [coded(word)] }),
      error({ response: { status: 200, errors: [{ message: word }], headers: {} } }),
    ]
    for (const value of thrown) expect([value, isRejection(value, true)]).toEqual([value, true])
    for (const value of [
      { ok: false, error: word },
      graphql(coded(word)),
      graphql({ message: word }, {}),
      graphql(word),
    ])
      expect([value, isRejection(value, false)]).toEqual([value, true])
  })

  describe('is taken as thrown:', () => {
    rejected(
      [
        ['with a namespace', named('sf:INVALID_SESSION_ID', { errorCode: 'sf:INVALID_SESSION_ID' })],
        ['as a class', named('UnauthorizedError')],
        ['as a class beside a 401', named('AuthenticationError', { status: 401 })],
        ['beside a 403', axiosError(403, { status: 403, err: 'Invalid token' })],
        ['beside a 403 of another client', gotError(403, '{"error":"token_expired"}')],
        ['as all of a body', axiosError(403, 'Bad_OAuth_Token')],
        ['in a tag', error({ status: 400, error: { error: { '.tag': 'expired_access_token' } } })],
        ['in the entries of a list', axiosError(400, [{ errorCode: 'INVALID_SESSION_ID', message: 'x' }])],
        [
          'the pair of a type and a number',
          error({ status: 400, response: { type: 'OAuthException', code: 190 } }),
        ],
        [
          'that pair in a body',
          axiosError(400, { error: { type: 'OAuthException', code: 190, message: 'x' } }),
        ],
        [
          'beside a page whose words are about anything',
          axiosError(401, '<table><th scope="row">No permission</th></table>'),
        ],
        [
          'beside a link to what scopes are',
          axiosError(401, { message: 'Not valid, see https://example.com/scopes' }),
        ],
        ['as the type of an entry', axiosError(400, { errors: [{ errorType: 'expired_token' }] })],
        [
          'in the text of a body',
          error({ statusCode: 400, bodyText: JSON.stringify(graphql(coded('UNAUTHENTICATED'))) }),
        ],
        ['an owner that is gone', error({ data: { ok: false, error: 'account_inactive' } })],
      ],
      true,
    )
  })

  describe('is not taken as thrown:', () => {
    accepted(
      [
        ['inside a sentence', axiosError(400, { message: 'The field invalid_token is unknown' })],
        ['unauthorized beside a 403', axiosError(403, { error: 'unauthorized' })],
        ['a class beside a 403', named('AuthenticationError', { status: 403 })],
        ['beside a 404', axiosError(404, { error: 'invalid_token' })],
        ['beside a 422', axiosError(422, { errors: [{ code: 'invalid_token' }] })],
        ['beside a 429', axiosError(429, { error: 'token_expired' })],
        ['beside a 500', axiosError(500, { error: 'token_expired' })],
        ['about a field', axiosError(400, { errors: [{ field: 'token', code: 'invalid_token' }] })],
        ['about a parameter', error({ status: 400, code: 'token_expired', param: 'source' })],
        ['a scope', error({ data: { ok: false, error: 'missing_scope', needed: 'chat:write' } })],
        ['a scope beside a 403', axiosError(403, { error: 'insufficient_scope' })],
        ['a scope beside a 401', error({ status: 401, error: { error_summary: 'missing_scope/..' } })],
        [
          'a scope behind a good word',
          axiosError(400, { code: 'invalid_token', message: 'it does not contain scopes' }),
        ],
        [
          'a permission beside a 401',
          axiosError(401, { message: 'the permission requested was not granted' }),
        ],
        ['a refresh that failed', axiosError(400, { error: 'invalid_grant' })],
        ['an application that is unknown', axiosError(401, { error: 'invalid_client' })],
        ['another number of that type', axiosError(400, { error: { type: 'OAuthException', code: 100 } })],
        ['that number of another type', error({ type: 'SomeException', code: 190 })],
        [
          'of a category',
          axiosError(403, {
            errors: [{ category: 'AUTHENTICATION_ERROR', code: 'FORBIDDEN', detail: 'no' }],
          }),
        ],
        ['a channel', error({ code: 'an_error', data: { ok: false, error: 'not_in_channel' } })],
        ['a limit', error({ data: { ok: false, error: 'ratelimited' } })],
        ['a code of the system', error({ code: 'ECONNRESET' })],
        ['beside data', error({ data: { viewer: {} }, errors: [coded('UNAUTHENTICATED')] })],
        ['access', error({ errors: [coded('ACCESS_DENIED')] })],
        ['an account of somebody', axiosError(400, { error: { code: 'account_inactive' } })],
      ],
      true,
    )
  })

  describe('is not taken as returned:', () => {
    accepted(
      [
        ['of an answer that is ok', { ok: true, error: 'token_expired' }],
        ['of an answer that does not say', { error: 'token_expired', id: 1 }],
        ['a scope', { ok: false, error: 'missing_scope' }],
        ['a channel', { ok: false, error: 'channel_not_found' }],
        ['in a field of what was asked for', { type: 'unauthorized', code: 'token_expired' }],
        ['access', graphql(coded('FORBIDDEN'))],
        ['unauthorized beside a 403', graphql(coded('UNAUTHORIZED', { http: { status: 403 } }))],
        ['no entry at all', graphql()],
      ],
      false,
    )
  })
})

describe('a weak word, which services also say of a missing role,', () => {
  const DENIED = 'Access to requested resource is denied.'
  const EXPIRED = 'The access token you provided has expired.'

  describe('is taken', () => {
    rejected(
      [
        ['where a text names the token', { code: 'Unauthorized', message: DENIED, details: EXPIRED }],
        [
          'where one does, beside a 403',
          axiosError(403, { errors: [{ code: 'Unauthorized', details: EXPIRED }] }),
        ],
        ['beside a 400', axiosError(400, { error: 'unauthorized' })],
        ['beside a 401', error({ status: 401, code: 'Unauthorized' })],
        [
          'in other words, beside a 403',
          axiosError(403, { success: false, errors: [{ code: 9109, message: 'Invalid access token' }] }),
        ],
      ],
      true,
    )
    rejected(
      [
        ['of an answer that is not ok', { ok: false, error: 'unauthorized', message: EXPIRED }],
        ['of GraphQL', graphql({ message: 'The token has ended', extensions: { code: 'UNAUTHORIZED' } })],
      ],
      false,
    )
  })

  describe('is not taken', () => {
    accepted(
      [
        ['alone', { code: 'Unauthorized', message: DENIED }],
        ['of an Error', error({ code: 'unauthorized' }, DENIED)],
        ['in a list', error({ errors: [{ code: 'Unauthorized', message: DENIED, details: '' }] })],
        [
          'beside a 403',
          axiosError(403, { errors: [{ code: 'Unauthorized', message: DENIED, details: '' }] }),
        ],
        [
          'as a sentence beside a 403',
          axiosError(403, { success: false, errors: [{ code: 10000, message: 'Authentication error' }] }),
        ],
        ['about another token', axiosError(403, { code: 'Unauthorized', message: 'Invalid CSRF token' })],
        ['about a refresh', error({ code: 'unauthorized' }, 'The refresh token is unknown')],
      ],
      true,
    )
    accepted(
      [
        ['of an answer that is not ok', { ok: false, error: 'unauthorized' }],
        ['of GraphQL', graphql({ message: 'Unauthorized' })],
      ],
      false,
    )
  })
})

describe('a token that is called invalid beside a code', () => {
  const flagged = { error: { code: 'forbidden', message: 'Not authorized', invalidToken: true } }
  const numbered = message => axiosError(400, { code: 4711, message })

  rejected(
    [
      ['by a flag', axiosError(403, flagged)],
      ['by a flag in a text', error({ statusCode: 403, body: JSON.stringify(flagged) })],
      ['by a flag in the text of an answer', gotError(403, JSON.stringify(flagged))],
      ['by a sentence', numbered('Invalid access token: it has been replaced by a newer one')],
      [
        'by a sentence in a text',
        error({ status: 400, body: '{"code":1,"message":"Invalid access token."}' }),
      ],
    ],
    true,
  )
  accepted(
    [
      ['by no flag', axiosError(403, { error: { ...flagged.error, invalidToken: false } })],
      ['by a flag beside a 404', axiosError(404, flagged)],
      ['by a sentence about scopes', numbered('Invalid access token, does not contain scopes:[user:read]')],
      ['by a sentence about a permission', numbered('Invalid access token: permission denied')],
      ['by a sentence about another one', numbered('Invalid access tokens file')],
      ['within a sentence', numbered('The header says: Invalid access token')],
    ],
    true,
  )
})

describe('a login by a token to a server of mail', () => {
  const smtp = (responseCode, fields) =>
    error({
      code: 'EAUTH',
      responseCode,
      command: 'AUTH XOAUTH2',
      response: `${responseCode} 5.7.8 no`,
      ...fields,
    })
  const imap = fields =>
    error(
      { responseStatus: 'NO', responseText: 'no', authenticationFailed: true, ...fields },
      'Command failed',
    )

  rejected(
    [
      ['that SMTP refuses', smtp(535)],
      ['that SMTP refuses in another mechanism', smtp(535, { command: 'AUTH OAUTHBEARER' })],
      ['that IMAP refuses', imap({ serverResponseCode: 'AUTHENTICATIONFAILED' })],
      ['that IMAP refuses, in another client', error({ type: 'no', textCode: 'AUTHENTICATIONFAILED' })],
    ],
    true,
  )
  accepted(
    [
      ['that fails for now', smtp(454)],
      ['that wants something else', smtp(534)],
      ['that is turned off', smtp(535, { response: '535 5.7.139 SmtpClientAuthentication is disabled' })],
      ['that was none by a token', smtp(535, { command: 'AUTH PLAIN' })],
      ['that was none, by a name', smtp(535, { command: 'MAIL FROM:<a@example.com> AUTH XOAUTH2' })],
      ['that was none', error({ code: 'EENVELOPE', responseCode: 535, command: 'RCPT TO' })],
      ['that IMAP cannot check', imap({ serverResponseCode: 'UNAVAILABLE' })],
      ['that IMAP does not allow', imap({ serverResponseCode: 'AUTHORIZATIONFAILED' })],
      ['that IMAP refuses without a reason', imap({})],
    ],
    true,
  )
})

describe('a success of which parts failed', () => {
  const part = { row: 7, code: 'invalid_token' }
  const SUCCESSES = [
    ['rows', { created: 98, failed: 1, errors: [part] }],
    ['rows, and nothing is told of the others', { errors: [part] }],
    ['devices', { success: 9, failure: 1, errors: [{ deviceToken: 'd', code: 'InvalidToken' }] }],
    ['devices, and nothing is told of the others', { errors: [{ device: 'd', error: 'Invalid token' }] }],
    ['links', { checked: 2, errors: [{ url: 'https://example.com', status: 401 }] }],
    ['links, and nothing is told of the others', { errors: [{ url: 'https://example.com', status: 401 }] }],
    ['words of a success', { success: true, errors: ['invalid_token'] }],
    ['rows of what is called no success', { success: false, errors: [part] }],
    ['plain words', { imported: 5, errors: ['unauthorized', 'invalid_token'] }],
    ['GraphQL', { ...graphql(coded('UNAUTHENTICATED')), data: { a: 1, b: null } }],
    ['a list', [part, { code: 'invalid_token' }]],
    ['a list of answers', [{ status: 401, headers: {}, body: {} }]],
  ]

  test.each(SUCCESSES)('such as %s is none, however it comes', (_what, body) => {
    expect(isRejectedBody(200, body)).toBe(false)
    const returned = [
      body,
      { status: 200, headers: {}, data: body },
      { statusCode: 200, headers: {}, body },
      { statusCode: 200, headers: {}, body: JSON.stringify(body) },
    ]
    for (const value of returned) expect([value, isRejection(value, false)]).toEqual([value, false])
    const thrown = [
      error({ response: { status: 200, headers: {}, data: body } }),
      error({ statusCode: 200, body: JSON.stringify(body) }),
    ]
    for (const value of thrown) expect([value, isRejection(value, true)]).toEqual([value, false])
  })
})

describe('a record that holds the answer that somebody else got', () => {
  accepted(
    [
      ['a delivery', { id: 1, url: 'https://example.com', status: 401, headers: {} }],
      ['one of a class', Object.assign(new (class Delivery {})(), { id: 1, status: 401, headers: {} })],
      ['one with a body', { id: 1, status: 200, headers: {}, body: { ok: false, error: 'token_expired' } }],
      ['one whose refresh failed', { user: 'u1', error: 'invalid_token', error_description: 'expired' }],
    ],
    false,
  )
})

describe('an answer of another origin, to which a redirect led,', () => {
  const at = (url, fields) => Object.defineProperty(response(401, fields), 'url', { value: url })
  const redirected = url => Object.defineProperty(at(url), 'redirected', { value: true })
  const [here, there] = ['https://api.example.com/a', 'https://login.example.com/b']

  accepted(
    [
      ['is none', redirected(there)],
      ['is none of got', { statusCode: 401, headers: {}, requestUrl: new URL(here), url: there }],
      [
        'is none of axios',
        { status: 401, headers: {}, config: { url: here }, request: { res: { responseUrl: there } } },
      ],
    ],
    false,
  )
  accepted(
    [
      ['is none when thrown', error({ response: redirected(there) })],
      ['is none after redirects', error({ response: { status: 401, redirects: [there] } })],
      [
        'is none of another root',
        error({
          response: {
            status: 401,
            config: { url: '/a', baseURL: 'https://api.example.com' },
            request: { res: { responseUrl: there } },
          },
        }),
      ],
      ['is none beside what was asked', error({ request: { url: here }, response: at(there) })],
      [
        'is none in its body',
        error({
          request: { url: here },
          response: { status: 403, url: there, data: { code: 'invalid_token' } },
        }),
      ],
    ],
    true,
  )
  rejected(
    [
      ['but one of the same origin is', error({ request: { url: here }, response: redirected(`${here}/b`) })],
      [
        'but one of the same root is',
        error({
          status: 401,
          response: {
            status: 401,
            config: { url: '/a', baseURL: 'https://api.example.com' },
            request: { res: { responseUrl: 'https://api.example.com/b' } },
          },
        }),
      ],
    ],
    true,
  )
})

describe('a part of a failure', () => {
  const full = text => text.slice(0, -1) + ' '.repeat(64 * 1024 - text.length) + text.slice(-1)
  const listing = (status, ...errors) => error({ status, errors })
  const see = link => error({ status: 401 }, `Not signed in, see ${link}`)

  rejected(
    [
      ['is read in the error of its body', error({ data: { error: { code: 401, message: 'no' } } })],
      [
        'is read in the list of that error',
        error({ status: 400, body: { error: listing(0, { code: 'invalid_token' }) } }),
      ],
      ['lends its entries its status', listing(400, { code: 'unauthorized' })],
      ['is read behind blanks', `\n ${JSON.stringify({ code: 401 })}`],
      ['is read up to 64 KiB', full(JSON.stringify({ code: 401 }))],
      ['is read without a status where its number is none', error({ status: 0 }, 'HTTP 401')],
      ['may link to a page about scopes', see('http://example.com/scopes')],
      ['may link to one by TLS', see('https://example.com/permissions')],
    ],
    true,
  )
  accepted(
    [
      ['has the status of its entry first', listing(400, { status: 403, code: 'unauthorized' })],
      ['has its status before the words of its cause', error({ status: 503, cause: error({}, 'HTTP 401') })],
      ['has its status as text before its code', error({ status: '404', code: 401 })],
      ['is not read beyond 64 KiB', `${full(JSON.stringify({ code: 401 }))} `],
      ['is no call of gRPC without details', error({ code: 16, metadata: {} })],
      ['is not named by a weak word', named('unauthorized', {}, 'no')],
      ['is not told by an owner elsewhere', error({ status: 400, body: { error: 'account_inactive' } })],
      ['is no numbered sentence without a status', error({ code: 4001 }, 'Invalid access token: replaced')],
    ],
    true,
  )
  rejected(
    [
      [
        'may be the cause of a returned Error',
        { data: null, error: error({ cause: error({ status: 401 }) }) },
      ],
      [
        'may be an answer in parts',
        { status: 401, headers: {}, socketErrorRetries: [], parsedHeaders: {}, readableStreamBody: null },
      ],
    ],
    false,
  )
})

describe('at the edge of a rule', () => {
  const challenged = challenge =>
    error({ response: response(401, { headers: { 'www-authenticate': challenge } }) })
  const raw = { 'www-authenticate': 'Bearer error="insufficient_scope"' }
  const requestFacts = { instance: '/me', requestId: 'r1', timestamp: '2026-01-01' }

  describe('is taken as thrown:', () => {
    rejected(
      [
        ...['HTTP_401', 'HTTP401', 'ErrorHttp401', '401Unauthorized'].map(code => [code, error({ code })]),
        ['a class that is named after an error', named('InvalidTokenError', {}, 'no')],
        ['a weak word that ends like a class', error({ status: 400, type: 'authentication_error' })],
        [
          'a weak word beside a code that is the least error status',
          error({ code: 400, type: 'unauthorized' }),
        ],
        ['an error in an error in a body', axiosError(400, { error: { error: { code: 'invalid_token' } } })],
        [
          'a list of errors beside what the SDK adds',
          error({ errors: [{ code: 'invalid_token' }], attempt: 1 }),
        ],
        ['a message that is JSON', error({}, '{"code":"invalid_token"}')],
        ['the message of a cause', error({ cause: new Error('The token has expired') }, 'Request failed')],
        ['a message between blanks', error({}, '\n Token has expired\n')],
        ['a message that quotes', error({}, 'Rejected ("token expired")')],
        ['a message after a colon', error({}, 'Sorry: token expired')],
        ['a message of OAuth', error({}, 'The call failed: your OAuth token expired')],
      ],
      true,
    )
  })

  describe('is taken as returned:', () => {
    rejected(
      [
        ['a Response with a field of an interceptor', Object.assign(response(401), { attempt: 1 })],
        ['a stream with its status', { statusCode: 401, headers: {}, pipe() {}, attempt: 1 }],
        ['an answer that names its own URL alone', { status: 401, headers: {}, url: 'https://api.test/me' }],
        ['graphQLErrors', { graphQLErrors: [coded('UNAUTHENTICATED')] }],
        ['the status of an answer in an entry', graphql(coded(undefined, { response: { status: 401 } }))],
        ['extensions of the result', { ...graphql(coded('UNAUTHENTICATED')), extensions: {} }],
        ['an id of the request', { ...graphql(coded('UNAUTHENTICATED')), request_id: 'r1' }],
        ['a link to help', graphql({ ...coded('UNAUTHENTICATED'), help: 'https://api.test/help' })],
        ['an entry that tells of the request', graphql({ ...coded('UNAUTHENTICATED'), ...requestFacts })],
      ],
      false,
    )
  })

  describe('is not taken as thrown:', () => {
    accepted(
      [
        ...['4010', '1401'].map(code => [`the number ${code}`, error({ code })]),
        ['a 401 as a code beside another status', error({ status: 403, code: 401 })],
        ['a refreshToken', error({ status: 403, code: 'unauthorized' }, 'The refreshToken is too old')],
        ['a message that begins with the scope', error({ status: 401 }, 'scopes: repo')],
        ['a scope in a markup', error({}, 'HTTP 401: <b>missing scope</b>')],
        [
          'a scope that the cause names',
          error({ status: 401, cause: error({ status: 401 }, 'missing scope') }),
        ],
        ['a scope in a text', error({ status: 401, body: 'missing scope: repo' })],
        ['a scope in an entry', axiosError(401, graphql(coded('no', { description: 'missing scope' })))],
        ...['Message', 'Detail'].map(name => [
          `a scope in ${name}`,
          axiosError(401, { [name]: 'Missing scope' }),
        ]),
        ['a challenge without quotes', challenged('Bearer error=insufficient_scope')],
        ['a challenge in plain headers', error({ response: { status: 401, headers: raw } })],
        ['an entry in words', axiosError(400, { errors: ['The name is missing'] })],
        ['a flag without a code', axiosError(403, { invalidToken: true })],
        ['words behind the 2,000th character', error({}, `${'x '.repeat(1000)}HTTP 401`)],
      ],
      true,
    )
  })

  describe('is not taken as returned:', () => {
    const unread = method => ({ status: 400, headers: {}, data: { [method]() {}, code: 'invalid_token' } })
    accepted(
      [
        ['a record with a config of its own', { status: 401, headers: {}, config: {}, of: 'another call' }],
        ['a pair whose response is no answer', { error: 'invalid_token', response: { status: 400 } }],
        [
          'a success with another status than 200',
          { status: 201, headers: {}, data: { code: 'invalid_token' } },
        ],
        ...['pipe', 'getReader'].map(name => [`a body that is not read yet (${name})`, unread(name)]),
      ],
      false,
    )
  })

  test('is an answer from another origin than that of the request', () => {
    const answer = { status: 401, headers: {}, url: 'https://api.test/me' }
    expect(isRejection(answer, false, { url: 'https://api.test/' })).toBe(true)
    expect(isRejection(answer, false, { url: 'https://elsewhere.test/' })).toBe(false)
  })
})

describe('the words of a message', () => {
  const TAKEN = [
    ...[
      'HTTP 401',
      'HTTP error 401: no',
      'Request failed with status code 401',
      'status: 401',
      'HTTP/1.1 401 Unauthorized',
    ],
    ...[
      '401 Unauthorized',
      '401: Unauthorized',
      'Request failed: Error (401): Not Authorized',
      'The token has expired',
      'Token has expired.',
      'token was revoked',
    ],
    ...['statuscode 401', "Failed with 'status': 401"],
    ...['Unexpected server response: 401', 'Response code 401 (Unauthorized)', 'HTTP error response: 401'],
    ...[
      'Access token expired',
      'Sorry: your access token expired',
      'Developer token has expired',
      'Error: your access token has been revoked',
      'invalid_token',
    ],
  ]
  const LEFT = [
    ...[
      'Invoice 401 failed',
      'HTTP 4011',
      'HTTP 403',
      'Error (403): Not Authorized',
      'Room 401 not found',
      '401',
      'The page token has expired',
      'Reset token expired',
    ],
    ...[
      'The refresh token has expired',
      'HTTP 401: missing scope',
      'Unauthorized',
      'Authentication error',
      'upload token was revoked',
      'HTTP 401k plan',
    ],
  ]

  test.each(TAKEN)('"%s" is taken where no status is anywhere', message => {
    expect(isRejection(new Error(message), true)).toBe(true)
    expect(isRejection(message, true)).toBe(true)
    expect(isRejection(error({ status: 500 }, message), true)).toBe(false)
    expect(isRejection(error({ response: { status: 404 } }, message), true)).toBe(false)
    expect(isRejection(message, false)).toBe(false)
  })

  test('are read where a code is the number of an error and no status', () => {
    expect(isRejection({ code: 124, message: 'Access token is expired.' }, true)).toBe(true)
    expect(isRejection({ code: 200, message: 'Access token is expired.' }, true)).toBe(true)
    expect(isRejection({ code: 404, message: 'Access token is expired.' }, true)).toBe(false)
  })

  test.each(LEFT)('"%s" is not', message => {
    expect(isRejection(new Error(message), true)).toBe(false)
    expect(isRejection(message, true)).toBe(false)
  })

  test('are not searched for scopes behind where a request or headers begin', () => {
    const message = 'HTTP-Code: 401\nHeaders: {"permissions-policy":"","x-oauth-scopes":"repo"}'
    expect(isRejection(error({ code: 401 }, message), true)).toBe(true)
    const query = 'Not signed in: {"request":{"query":"{ viewer { permissions scope } }"}}'
    expect(isRejection(error({ response: { status: 401 } }, query), true)).toBe(true)
  })
})

describe('an error of this package', () => {
  test('is none of a service, nor is it as a cause', async () => {
    const missing = await new XkitClient({
      publishableKey: 'pk',
      secretKey: 'sk',
      baseUrl: 'http://127.0.0.1:1',
    })
      .getAccessToken('u1', 'slack')
      .catch(reason => reason)
    const refused = Object.assign(Object.create(XkitApiError.prototype), missing, { status: 401 })
    for (const value of [missing, refused, error({ cause: refused })])
      expect(isRejection(value, true)).toBe(false)
    expect(isRejection({ data: null, error: refused }, false)).toBe(false)
  })
})

describe('the body of an answer', () => {
  test.each([
    [200, { ok: false, error: 'token_expired' }, true],
    [200, graphql(coded('UNAUTHENTICATED')), true],
    [200, { error: { code: 401, status: 'UNAUTHENTICATED' } }, true],
    [400, { error: { type: 'OAuthException', code: 190 } }, true],
    [400, { error: 'invalid_token' }, true],
    [403, { status: 403, err: 'Token expired' }, true],
    [200, { ok: true }, false],
    [200, { error: 'token_expired', of: 'somebody else' }, false],
    [200, { ok: false, error: 'missing_scope' }, false],
    [400, { error: 'invalid_grant' }, false],
    [403, { error: 'unauthorized' }, false],
    [403, { message: 'Forbidden' }, false],
    [400, null, false],
    [200, 'token_expired', false],
    [400, [], false],
  ])('of a %d: %j', (status, body, expected) => {
    expect(isRejectedBody(status, body)).toBe(expected)
  })
})

describe('a value that resists', () => {
  const throwing = name =>
    Object.defineProperty(error({ status: 401 }), name, {
      get() {
        throw new Error('unreadable')
      },
    })
  const FIELDS = [
    'message',
    'name',
    'code',
    'response',
    'cause',
    'body',
    'data',
    'errors',
    'headers',
    'details',
  ]

  test.each(FIELDS)('by a getter of %s is judged by the rest', name => {
    expect(isRejection(throwing(name), true)).toBe(true)
  })

  const cycle = error({ status: 403 })
  Object.assign(cycle, {
    cause: cycle,
    response: cycle,
    error: cycle,
    errors: [cycle],
    body: cycle,
    data: cycle,
  })
  const { proxy, revoke } = Proxy.revocable({}, {})
  const { proxy: list, revoke: revokeList } = Proxy.revocable([], {})
  revoke()
  revokeList()
  const mirror = new Proxy(() => {}, { get: (_target, name) => (name === 'then' ? undefined : mirror) })
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error('no')
      },
      has() {
        throw new Error('no')
      },
      ownKeys() {
        throw new Error('no')
      },
    },
  )

  test.each([
    ['a cycle', cycle],
    ['a revoked proxy', proxy],
    ['a revoked list', list],
    [
      'one that holds revoked ones',
      error({ errors: list, error: proxy, body: list, cause: proxy, response: proxy }),
    ],
    ['a proxy that answers with itself', new Proxy({}, { get: () => mirror })],
    ['a proxy that refuses', hostile],
    ['a result that holds one', { data: null, error: hostile }],
    ['a huge string', 'x'.repeat(1 << 24)],
    ['a huge message', error({}, `{${' '.repeat(1 << 24)}`)],
    ['a huge body', { status: 400, body: `{"error":"${'x'.repeat(1 << 24)}"}` }],
    ['a message of blanks', error({}, '! '.repeat(1 << 16) + ' '.repeat(1 << 20))],
    ['a long list', error({ errors: Array(1e6).fill({ message: 'x' }) })],
    ['deep JSON', error({}, '['.repeat(60_000))],
    ['an object without a prototype', Object.create(null)],
    ['a symbol', Symbol('401')],
    ['a bigint', 401n],
    [
      'symbols in its fields',
      { status: Symbol('x'), code: Symbol('y'), message: Symbol('z'), error: Symbol('e') },
    ],
  ])('%s is none', (_what, value) => {
    for (const isThrown of [true, false]) expect(isRejection(value, isThrown)).toBe(false)
  })

  test('of many long texts is read within a budget', () => {
    const NAMES = ['body', 'data', 'error', 'result', '_data', 'bodyText']
    let texts = 0
    const bodies = () =>
      Object.fromEntries(NAMES.map(name => [name, `{"message":"${'a scope '.repeat(6000)}${texts++}"}`]))
    const failure = () => {
      const answers = ['response', 'res', 'responseInfo', 'rawResponse', 'output', '$metadata']
      return error({ ...bodies(), ...Object.fromEntries(answers.map(name => [name, bodies()])), status: 403 })
    }
    const many = failure()
    for (const name of ['cause', 'networkError', 'originalError', 'raw']) many[name] = failure()
    expect(texts).toBe(210)

    const parse = jest.spyOn(JSON, 'parse')
    expect(isRejection(many, true)).toBe(false)
    const parsed = parse.mock.calls.map(([text]) => text.length)
    parse.mockRestore()
    expect(parsed.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(64 * 1024)
  })

  test('beside a 401 does not hide it', () => {
    expect(
      isRejection(error({ status: 401, body: proxy, cause: proxy, errors: list, data: hostile }), true),
    ).toBe(true)
  })

  test('is not changed, and its body not read', () => {
    const answer = new Response('{"error":"invalid_token"}', { status: 403 })
    expect(isRejection(answer, true)).toBe(false)
    expect(answer.bodyUsed).toBe(false)
    const frozen = Object.freeze(error({ status: 401 }))
    expect(isRejection(frozen, true)).toBe(true)
  })
})

test('every rule has an example on the page beside it', () => {
  const folder = path.join(__dirname, '..', 'lib', 'rejection')
  const page = readFileSync(path.join(folder, 'README.md'), 'utf8')
  const sources = ['index.js', 'parts.js', 'words.js'].map(name =>
    readFileSync(path.join(folder, name), 'utf8'),
  )
  const named = [...page.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
  const defined = sources.flatMap(source =>
    [...source.matchAll(/^(?:function|const) (\w+)/gm)].map(([, name]) => name),
  )

  expect(named.filter(name => !defined.includes(name))).toEqual([])
  const rules = sources[0].match(
    /(?<=^(?:function|const) )(?:is(?:Rejected|Failed|Refusal|Named|Dead|Flagged|Numbered)|has)\w*/gm,
  )
  const notRules = [
    'isRejection',
    'isRejectedBody',
    'isRejectedResult',
    'isRejectedFailure',
    'isRejectedEntry',
  ]
  expect(rules.filter(name => !notRules.includes(name) && !page.includes(name))).toEqual([])
})
