// Owns how each HTTP client is called, and what a service answers it.

const { json } = require('./service.js')

const URL = 'https://api.example.com/me'
const bearer = token => ({ authorization: `Bearer ${token}` })
const hosts = ['api.example.com']

const common = {
  hosts,
  fine: json(200, { id: 1 }),
  dead: {
    401: json(401, { error: 'invalid_token' }),
    '401 without a body': { status: 401, body: '' },
  },
  alive: {
    200: json(200, { error: null, id: 1 }),
    '200 with failed parts': json(200, { created: 98, errors: [{ row: 7, code: 'invalid_token' }] }),
    '403 Authentication error': json(403, {
      success: false,
      errors: [{ code: 10000, message: 'Authentication error' }],
    }),
    403: json(403, { message: 'Forbidden' }),
    '403 for a scope': json(403, { error: 'insufficient_scope' }),
    404: json(404, { message: 'Not found' }),
    429: json(429, { message: 'Slow down' }),
    500: json(500, { message: 'status 401' }),
  },
}
/** Clients that throw or return the body. */
const told = {
  ...common,
  dead: {
    ...common.dead,
    '200 that is not ok': json(200, { ok: false, error: 'token_expired' }),
    '403 with a code': json(403, { error: 'token_expired' }),
    '403 with a flag': json(403, { error: { code: 'forbidden', message: 'no', invalidToken: true } }),
    '403 with a sentence': json(403, { errors: [{ code: 9109, message: 'Invalid access token' }] }),
    '403 with a weak word that is explained': json(403, {
      errors: [{ code: 'Unauthorized', message: 'no', details: 'The access token has expired.' }],
    }),
  },
}

const graphql = {
  hosts,
  fine: json(200, { data: { me: 1 } }),
  dead: {
    401: json(401, { errors: [{ message: 'no' }] }),
    '200 UNAUTHENTICATED': json(200, {
      errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }],
    }),
    '200 Not authenticated': json(200, { data: null, errors: [{ message: 'Not authenticated' }] }),
  },
  alive: {
    '200 FORBIDDEN': json(200, { errors: [{ message: 'no', extensions: { code: 'FORBIDDEN' } }] }),
    '200 with some data': json(200, {
      data: { me: 1, other: null },
      errors: [{ message: 'no', path: ['other'], extensions: { code: 'UNAUTHENTICATED' } }],
    }),
    403: json(403, { errors: [{ message: 'Forbidden' }] }),
    500: json(500, { errors: [{ message: 'oops' }] }),
  },
}

module.exports = [
  { sdk: 'fetch', ...common, call: token => fetch(URL, { headers: bearer(token) }) },
  {
    sdk: 'fetch',
    way: ', by `xkit.fetch`',
    ...told,
    isPlugged: true,
    call: async (_token, xkit, owner) => {
      const response = await xkit.fetch(owner, 'service', URL)
      if (!response.ok) throw response
    },
  },
  { sdk: 'axios', ...told, call: token => require('axios').get(URL, { headers: bearer(token) }) },
  {
    sdk: 'axios',
    way: ', `validateStatus`',
    ...told,
    call: token => require('axios').get(URL, { headers: bearer(token), validateStatus: null }),
  },
  {
    sdk: 'got',
    ...told,
    call: async token => {
      const { default: got } = await import('got')
      return got(URL, { headers: bearer(token), retry: { limit: 0 } }).json()
    },
  },
  {
    sdk: 'ky',
    ...common,
    call: async token => {
      const { default: ky } = await import('ky')
      return ky(URL, { headers: bearer(token), retry: 0 }).json()
    },
  },
  {
    sdk: 'ofetch',
    ...told,
    call: async token => {
      const { ofetch } = await import('ofetch')
      return ofetch(URL, { headers: bearer(token), retry: 0 })
    },
  },
  { sdk: 'superagent', ...told, call: token => require('superagent').get(URL).set(bearer(token)) },
  {
    sdk: 'undici',
    ...common,
    call: async token => {
      const answer = await require('undici').request(URL, { headers: bearer(token) })
      if (answer.statusCode === 200) await answer.body.dump()
      return answer
    },
  },
  {
    sdk: 'openapi-fetch',
    ...common,
    call: async token => {
      const { default: createClient } = await import('openapi-fetch')
      return createClient({ baseUrl: 'https://api.example.com' }).GET('/me', { headers: bearer(token) })
    },
  },
  {
    sdk: '@azure-rest/core-client',
    ...common,
    call: token => {
      const { getClient } = require('@azure-rest/core-client')
      const client = getClient('https://api.example.com', { retryOptions: { maxRetries: 0 } })
      return client.path('/me').get({ headers: bearer(token) })
    },
  },
  {
    sdk: 'openai',
    ...common,
    fine: json(200, { object: 'list', data: [] }),
    call: token => {
      const { OpenAI } = require('openai')
      return new OpenAI({ apiKey: token, baseURL: 'https://api.example.com', maxRetries: 0 }).models.list()
    },
  },
  {
    sdk: '@apollo/client',
    ...graphql,
    dead: {
      ...graphql.dead,
      '400 UNAUTHENTICATED': json(400, {
        errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }],
      }),
    },
    call: token => {
      const { ApolloClient, HttpLink, InMemoryCache, gql } = require('@apollo/client/core')
      const link = new HttpLink({ uri: URL, headers: bearer(token) })
      return new ApolloClient({ link, cache: new InMemoryCache() }).query({ query: gql`{ me }` })
    },
  },
  {
    sdk: 'graphql-request',
    ...graphql,
    call: async token => {
      const { GraphQLClient } = await import('graphql-request')
      return new GraphQLClient(URL, { headers: bearer(token) }).request('{ me }')
    },
  },
]
