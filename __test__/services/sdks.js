// Owns how the SDK of each service is called, and what that service answers: to a token that is dead, and otherwise.

const { grpc, json } = require('./service.js')

/** What any service may answer. */
const others = {
  404: json(404, { message: 'Not found' }),
  429: json(429, { message: 'Too many requests' }),
  500: json(500, { message: 'Internal error' }),
}

const google = (code, status, message, reason) =>
  json(code, { error: { code, message, status, errors: [{ reason, message }] } })

function analytics(options) {
  const { BetaAnalyticsDataClient } = require('@google-analytics/data')
  const { OAuth2Client } = require('google-auth-library')
  return token => {
    const authClient = new OAuth2Client()
    authClient.setCredentials({ access_token: token })
    const client = new BetaAnalyticsDataClient({ authClient, ...options })
    return client
      .getMetadata({ name: 'properties/1/metadata' }, { retry: null })
      .finally(() => client.close())
  }
}

function shopify(token, ask) {
  require('@shopify/shopify-api/adapters/node')
  const { LogSeverity, shopifyApi } = require('@shopify/shopify-api')
  const api = shopifyApi({
    apiKey: 'key',
    apiSecretKey: 'secret',
    hostName: 'app.example.com',
    apiVersion: '2025-10',
    isEmbeddedApp: false,
    logger: { level: LogSeverity.Error, log: () => {} },
  })
  return ask(api.clients, { shop: 'acme.myshopify.com', accessToken: token })
}
const shopifyDead = {
  401: json(401, { errors: '[API] Invalid API key or access token (unrecognized login or wrong password)' }),
}
const shopifyAlive = {
  402: json(402, { errors: 'Unavailable Shop' }),
  '403 for a scope': json(403, {
    errors: '[API] This action requires merchant approval for read_orders scope.',
  }),
  ...others,
}

module.exports = [
  {
    sdk: '@slack/web-api',
    hosts: ['slack.com'],
    fine: json(200, { ok: true }),
    call: token => {
      const { LogLevel, WebClient } = require('@slack/web-api')
      const options = { retryConfig: { retries: 0 }, rejectRateLimitedCalls: true, logLevel: LogLevel.ERROR }
      return new WebClient(token, options).auth.test()
    },
    dead: {
      token_expired: json(200, { ok: false, error: 'token_expired' }),
      token_revoked: json(200, { ok: false, error: 'token_revoked' }),
      invalid_auth: json(200, { ok: false, error: 'invalid_auth' }),
      account_inactive: json(200, { ok: false, error: 'account_inactive' }),
    },
    alive: {
      missing_scope: json(200, {
        ok: false,
        error: 'missing_scope',
        needed: 'chat:write',
        provided: 'identify',
      }),
      not_in_channel: json(200, { ok: false, error: 'not_in_channel' }),
      429: json(429, { ok: false, error: 'ratelimited' }, { 'retry-after': '1' }),
      500: others['500'],
    },
  },
  {
    sdk: 'octokit',
    hosts: ['api.github.com'],
    fine: json(200, { login: 'a' }),
    call: async token => {
      const { Octokit } = await import('octokit')
      const log = { debug() {}, info() {}, warn() {}, error() {} }
      const octokit = new Octokit({
        auth: token,
        retry: { enabled: false },
        throttle: { enabled: false },
        log,
      })
      return octokit.rest.users.getAuthenticated()
    },
    dead: {
      401: json(401, { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest' }),
    },
    alive: {
      '403 for a scope': json(403, { message: 'Resource not accessible by integration' }),
      '403 for a limit': json(403, { message: 'API rate limit exceeded' }, { 'x-ratelimit-remaining': '0' }),
      ...others,
    },
  },
  {
    sdk: 'octokit',
    way: ', GraphQL',
    hosts: ['api.github.com'],
    fine: json(200, { data: { viewer: { login: 'a' } } }),
    call: async token => {
      const { Octokit } = await import('octokit')
      const octokit = new Octokit({ auth: token, retry: { enabled: false }, throttle: { enabled: false } })
      return octokit.graphql('{ viewer { login } }')
    },
    dead: { 401: json(401, { message: 'Bad credentials' }) },
    alive: {
      '200 INSUFFICIENT_SCOPES': json(200, {
        errors: [
          { type: 'INSUFFICIENT_SCOPES', message: 'Your token has not been granted the required scopes' },
        ],
      }),
      '200 FORBIDDEN': json(200, { data: { viewer: null }, errors: [{ type: 'FORBIDDEN', message: 'no' }] }),
      '200 NOT_FOUND': json(200, { data: null, errors: [{ type: 'NOT_FOUND', message: 'no' }] }),
    },
  },
  {
    sdk: '@googleapis/drive',
    hosts: ['www.googleapis.com'],
    fine: json(200, { user: {} }),
    call: token => {
      const { auth, drive } = require('@googleapis/drive')
      const client = new auth.OAuth2()
      client.setCredentials({ access_token: token })
      return drive({ version: 'v3', auth: client }).about.get({ fields: 'user' }, { retry: false })
    },
    dead: {
      401: google(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.', 'authError'),
    },
    alive: {
      '403 for a scope': google(
        403,
        'PERMISSION_DENIED',
        'Request had insufficient authentication scopes.',
        'insufficientPermissions',
      ),
      '403 for a quota': google(
        403,
        'RESOURCE_EXHAUSTED',
        'User Rate Limit Exceeded',
        'userRateLimitExceeded',
      ),
      ...others,
    },
  },
  {
    sdk: '@google-analytics/data',
    way: ', gRPC',
    hosts: ['analyticsdata.googleapis.com'],
    fine: grpc(0),
    call: token => analytics()(token),
    dead: { 16: grpc(16, 'Request had invalid authentication credentials.') },
    alive: {
      '7 for a scope': grpc(7, 'Request had insufficient authentication scopes.'),
      5: grpc(5, 'Requested entity was not found.'),
      8: grpc(8, 'Quota exceeded.'),
      13: grpc(13, 'Internal error encountered.'),
    },
  },
  {
    sdk: '@google-analytics/data',
    way: ', REST',
    hosts: ['analyticsdata.googleapis.com'],
    fine: json(200, {}),
    call: token => analytics({ fallback: true })(token),
    dead: { 401: google(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.') },
    alive: {
      '403 for a scope': google(403, 'PERMISSION_DENIED', 'Request had insufficient authentication scopes.'),
      404: google(404, 'NOT_FOUND', 'Requested entity was not found.'),
      429: google(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded.'),
      500: google(500, 'INTERNAL', 'Internal error encountered.'),
    },
  },
  {
    sdk: 'stripe',
    hosts: ['api.stripe.com'],
    fine: json(200, { object: 'balance' }),
    call: token => {
      const { default: Stripe = require('stripe') } = require('stripe')
      return new Stripe(token, { maxNetworkRetries: 0 }).balance.retrieve()
    },
    dead: {
      401: json(401, {
        error: { type: 'invalid_request_error', message: 'Invalid API Key provided: sk_live_***' },
      }),
      '401 api_key_expired': json(401, {
        error: { type: 'invalid_request_error', code: 'api_key_expired', message: 'Expired' },
      }),
    },
    alive: {
      403: json(403, {
        error: { type: 'invalid_request_error', code: 'more_permissions_required', message: 'no' },
      }),
      '402 authentication_required': json(402, {
        error: { type: 'card_error', code: 'authentication_required', message: 'no' },
      }),
      '400 token_already_used': json(400, {
        error: { type: 'invalid_request_error', code: 'token_already_used', message: 'no' },
      }),
      404: json(404, { error: { type: 'invalid_request_error', code: 'resource_missing', message: 'no' } }),
      429: json(429, { error: { type: 'invalid_request_error', code: 'rate_limit', message: 'no' } }),
      500: json(500, { error: { type: 'api_error', message: 'no' } }),
    },
  },
  {
    sdk: '@hubspot/api-client',
    hosts: ['api.hubapi.com'],
    fine: json(200, { results: [] }),
    call: token => {
      const { Client } = require('@hubspot/api-client')
      const client = new Client({ accessToken: token, numberOfApiCallRetries: 0 })
      return client.crm.contacts.basicApi.getPage(1)
    },
    dead: {
      '401 expired': json(401, {
        status: 'error',
        message: 'The OAuth token used to make this call expired 2 hour(s) ago.',
        category: 'EXPIRED_AUTHENTICATION',
      }),
      '401 invalid': json(
        401,
        {
          status: 'error',
          message: 'Authentication credentials not found.',
          category: 'INVALID_AUTHENTICATION',
        },
        { 'permissions-policy': 'interest-cohort=()' },
      ),
    },
    alive: {
      '403 for a scope': json(403, {
        status: 'error',
        message: 'This app hasn’t been granted all required scopes',
        category: 'MISSING_SCOPES',
      }),
      ...others,
    },
  },
  {
    sdk: 'jsforce',
    hosts: ['acme.my.salesforce.com'],
    fine: json(200, { Id: '001' }),
    call: token => {
      const { Connection } = require('jsforce')
      const connection = new Connection({ instanceUrl: 'https://acme.my.salesforce.com', accessToken: token })
      return connection.request('/services/data/v60.0/sobjects/Account/001', { retry: { maxRetries: 0 } })
    },
    dead: {
      401: json(401, [{ message: 'Session expired or invalid', errorCode: 'INVALID_SESSION_ID' }]),
      '403 Bad_OAuth_Token': {
        status: 403,
        body: 'Bad_OAuth_Token',
        headers: { 'content-type': 'text/html' },
      },
    },
    alive: {
      403: json(403, [{ message: 'insufficient access rights', errorCode: 'INSUFFICIENT_ACCESS' }]),
      '403 for a limit': json(403, [
        { message: 'TotalRequests Limit exceeded.', errorCode: 'REQUEST_LIMIT_EXCEEDED' },
      ]),
      404: json(404, [{ message: 'no', errorCode: 'NOT_FOUND' }]),
    },
  },
  {
    sdk: '@shopify/shopify-api',
    hosts: ['acme.myshopify.com'],
    fine: json(200, { data: { shop: { name: 'Acme' } } }),
    call: token =>
      shopify(token, ({ Graphql }, session) => new Graphql({ session }).request('{ shop { name } }')),
    dead: shopifyDead,
    alive: {
      '200 ACCESS_DENIED': json(200, {
        errors: [{ message: 'Access denied for orders field.', extensions: { code: 'ACCESS_DENIED' } }],
      }),
      '200 THROTTLED': json(200, { errors: [{ message: 'Throttled', extensions: { code: 'THROTTLED' } }] }),
      ...shopifyAlive,
    },
  },
  {
    sdk: '@shopify/shopify-api',
    way: ', REST',
    hosts: ['acme.myshopify.com'],
    fine: json(200, { shop: {} }),
    call: token => shopify(token, ({ Rest }, session) => new Rest({ session }).get({ path: 'shop' })),
    dead: shopifyDead,
    alive: shopifyAlive,
  },
  {
    sdk: 'node-zendesk',
    hosts: ['acme.zendesk.com'],
    fine: json(200, { user: { id: 1 } }),
    call: token => {
      const { createClient } = require('node-zendesk')
      return createClient({ subdomain: 'acme', oauth: true, token }).users.me()
    },
    dead: {
      401: json(401, {
        error: 'invalid_token',
        error_description:
          'The access token provided is expired, revoked, malformed or invalid for other reasons.',
      }),
      '401 of a session': json(401, { error: 'Couldn’t authenticate you' }),
    },
    alive: {
      '403 for a scope': json(403, {
        error: 'Forbidden',
        description: 'You are missing the following required scopes: read',
      }),
      ...others,
    },
  },
  {
    sdk: 'xero-node',
    hosts: ['api.xero.com'],
    fine: json(200, { Organisations: [] }),
    call: async token => {
      const { XeroClient } = require('xero-node')
      const xero = new XeroClient()
      xero.setTokenSet({ access_token: token, token_type: 'Bearer' })
      return xero.accountingApi.getOrganisations('tenant')
    },
    dead: {
      '401 expired': json(401, {
        Type: null,
        Title: 'Unauthorized',
        Status: 401,
        Detail: 'TokenExpired: token expired at 01/01/2026',
      }),
      '401 invalid': json(401, {
        Type: null,
        Title: 'Unauthorized',
        Status: 401,
        Detail: 'TokenInvalidSignature',
      }),
    },
    alive: {
      403: json(403, { Type: null, Title: 'Forbidden', Status: 403, Detail: 'AuthenticationUnsuccessful' }),
      ...others,
    },
  },
  {
    sdk: '@gitbeaker/rest',
    hosts: ['gitlab.com'],
    fine: json(200, { id: 1 }),
    call: async token => {
      const { Gitlab } = await import('@gitbeaker/rest')
      return new Gitlab({ oauthToken: token }).Users.showCurrentUser()
    },
    dead: {
      '401 expired': json(401, {
        error: 'invalid_token',
        error_description: 'Token is expired. You can either do re-authorization or token refresh.',
      }),
      401: json(401, { message: '401 Unauthorized' }),
    },
    // It repeats a 429 ten times, for minutes, and has no option against it.
    alive: {
      '403 for a scope': json(403, {
        error: 'insufficient_scope',
        error_description: 'The request requires higher privileges than provided by the access token.',
        scope: 'api',
      }),
      404: json(404, { message: '404 Project Not Found' }),
      500: others['500'],
    },
  },
  {
    sdk: '@notionhq/client',
    hosts: ['api.notion.com'],
    fine: json(200, { object: 'user' }),
    call: token => {
      const { Client, LogLevel } = require('@notionhq/client')
      return new Client({ auth: token, retry: false, logLevel: LogLevel.ERROR }).users.me({})
    },
    dead: {
      401: json(401, {
        object: 'error',
        status: 401,
        code: 'unauthorized',
        message: 'API token is invalid.',
      }),
    },
    alive: {
      403: json(403, { object: 'error', status: 403, code: 'restricted_resource', message: 'no' }),
      404: json(404, { object: 'error', status: 404, code: 'object_not_found', message: 'no' }),
      429: json(429, { object: 'error', status: 429, code: 'rate_limited', message: 'no' }),
      500: json(500, { object: 'error', status: 500, code: 'internal_server_error', message: 'no' }),
    },
  },
  {
    sdk: 'twitter-api-v2',
    hosts: ['api.x.com', 'api.twitter.com'],
    fine: json(200, { data: { id: '1' } }),
    call: token => {
      const { TwitterApi } = require('twitter-api-v2')
      return new TwitterApi(token).v2.me()
    },
    dead: {
      401: json(401, { title: 'Unauthorized', type: 'about:blank', status: 401, detail: 'Unauthorized' }),
      '401 of version 1': json(401, { errors: [{ code: 89, message: 'Invalid or expired token.' }] }),
    },
    alive: {
      '403 for a scope': json(403, {
        title: 'Forbidden',
        status: 403,
        detail: 'Your client app is not configured with the appropriate oauth1 app permissions',
      }),
      404: others['404'],
      429: json(429, { title: 'Too Many Requests', status: 429 }),
      500: others['500'],
    },
  },
  {
    sdk: 'intercom-client',
    hosts: ['api.intercom.io'],
    fine: json(200, { type: 'admin' }),
    call: token => {
      const { IntercomClient } = require('intercom-client')
      return new IntercomClient({ token }).admins.identify({ maxRetries: 0 })
    },
    dead: {
      401: json(401, {
        type: 'error.list',
        errors: [{ code: 'unauthorized', message: 'Access Token Invalid' }],
      }),
    },
    alive: {
      403: json(403, { type: 'error.list', errors: [{ code: 'api_plan_restricted', message: 'no' }] }),
      '403 token_unauthorized': json(403, {
        type: 'error.list',
        errors: [{ code: 'token_unauthorized', message: 'no' }],
      }),
      ...others,
    },
  },
  {
    sdk: 'dropbox',
    hosts: ['api.dropboxapi.com'],
    fine: json(200, { account_id: '1' }),
    call: token => {
      const { Dropbox } = require('dropbox')
      return new Dropbox({ accessToken: token, fetch: globalThis.fetch }).usersGetCurrentAccount()
    },
    dead: {
      '401 expired': json(401, {
        error_summary: 'expired_access_token/..',
        error: { '.tag': 'expired_access_token' },
      }),
      '401 invalid': json(401, {
        error_summary: 'invalid_access_token/',
        error: { '.tag': 'invalid_access_token' },
      }),
    },
    alive: {
      '401 missing_scope': json(401, {
        error_summary: 'missing_scope/..',
        error: { '.tag': 'missing_scope', required_scope: 'account_info.read' },
      }),
      403: json(403, { error_summary: 'no_permission/', error: { '.tag': 'no_permission' } }),
      409: json(409, { error_summary: 'path/not_found/', error: { '.tag': 'path' } }),
      429: json(429, {
        error_summary: 'too_many_requests/',
        error: { reason: { '.tag': 'too_many_requests' } },
      }),
      500: others['500'],
    },
  },
  {
    sdk: 'box-node-sdk',
    hosts: ['api.box.com'],
    fine: json(200, { id: '1', type: 'user' }),
    call: async token => {
      const { BoxClient, BoxDeveloperTokenAuth } = await import('box-node-sdk')
      return new BoxClient({ auth: new BoxDeveloperTokenAuth({ token }) }).users.getUserMe()
    },
    dead: {
      401: {
        status: 401,
        body: '',
        headers: { 'www-authenticate': 'Bearer realm="Service", error="invalid_token"' },
      },
    },
    // It repeats a 429 and a 500, as its options tell it to.
    alive: {
      '403 for a scope': json(403, { type: 'error', code: 'insufficient_scope', status: 403 }),
      403: json(403, { type: 'error', code: 'access_denied_insufficient_permissions', status: 403 }),
      404: json(404, { type: 'error', code: 'not_found', status: 404 }),
    },
  },
  {
    sdk: 'airtable',
    hosts: ['api.airtable.com'],
    fine: json(200, { id: 'rec1', fields: {} }),
    call: token => {
      const Airtable = require('airtable')
      return new Airtable({ apiKey: token, noRetryIfRateLimited: true }).base('app1')('Table').find('rec1')
    },
    dead: {
      401: json(401, { error: { type: 'AUTHENTICATION_REQUIRED', message: 'Authentication required' } }),
    },
    alive: {
      403: json(403, {
        error: { type: 'INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND', message: 'Invalid permissions' },
      }),
      404: json(404, { error: 'NOT_FOUND' }),
      429: json(429, { errors: [{ error: 'RATE_LIMIT_REACHED', message: 'no' }] }),
      500: others['500'],
    },
  },
  {
    sdk: '@microsoft/microsoft-graph-client',
    hosts: ['graph.microsoft.com'],
    fine: json(200, { id: '1' }),
    call: token => {
      const { Client, RetryHandlerOptions } = require('@microsoft/microsoft-graph-client')
      const client = Client.init({ authProvider: done => done(null, token) })
      return client
        .api('/me')
        .middlewareOptions([new RetryHandlerOptions(0, 0)])
        .get()
    },
    dead: {
      '401 expired': json(401, {
        error: {
          code: 'InvalidAuthenticationToken',
          message: 'Lifetime validation failed, the token is expired.',
        },
      }),
      401: json(401, {
        error: { code: 'Unauthenticated', message: 'Access token has expired or is not yet valid.' },
      }),
    },
    alive: {
      403: json(403, {
        error: {
          code: 'Authorization_RequestDenied',
          message: 'Insufficient privileges to complete the operation.',
        },
      }),
      404: json(404, { error: { code: 'Request_ResourceNotFound', message: 'no' } }),
      429: json(429, { error: { code: 'TooManyRequests', message: 'no' } }),
      500: json(500, { error: { code: 'InternalServerError', message: 'no' } }),
    },
  },
  {
    sdk: 'figma-api',
    hosts: ['api.figma.com'],
    fine: json(200, { id: '1' }),
    call: token => {
      const { Api } = require('figma-api')
      return new Api({ oAuthToken: token }).getMe()
    },
    dead: {
      '403 Invalid token': json(403, { status: 403, err: 'Invalid token' }),
      '403 Token expired': json(403, { status: 403, err: 'Token expired' }),
      401: json(401, { status: 401, err: 'Unauthorized' }),
    },
    alive: {
      '403 for a scope': json(403, {
        status: 403,
        err: 'Invalid scope(s): files:read. This endpoint requires the current_user:read scope',
      }),
      403: json(403, { status: 403, err: 'Forbidden' }),
      ...others,
    },
  },
]
