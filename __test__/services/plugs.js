// Owns what becomes of an owner without a token where an SDK was given a plug: by the snippet of docs/services.md, and by
// the same plug without the option that stops the SDK from trying again.

const path = require('node:path')
const { inspect } = require('node:util')
const { pathToFileURL } = require('node:url')
const { xkitErrorOf } = require('../..')
const { isNewest, versionOf } = require('./modules.js')
const { FOLDER } = require('./snippets.js')

const LIMIT_MS = 20_000
const AT_ONCE_MS = 5000
const URL = 'https://api.example.com/me'

/** By snippet: the SDK, the connector, what is called, the option, and the same call without it. */
const PLUGS = [
  {
    name: 'slack-plug',
    sdk: '@slack/web-api',
    slug: 'slack',
    use: ({ slack }, user) => slack(user).auth.test(),
    option: 'retryConfig: { retries: 0 }',
    bare: ({ fetch }) => {
      const { LogLevel, WebClient } = require('@slack/web-api')
      return new WebClient(undefined, { fetch, logLevel: LogLevel.ERROR }).auth.test()
    },
  },
  {
    name: 'github-fetch',
    sdk: 'octokit',
    slug: 'github',
    use: ({ github }, user) => github(user).rest.users.getAuthenticated(),
    option: 'retry: { enabled: false }',
    bare: async ({ fetch }) => {
      const { Octokit } = await import('octokit')
      return new Octokit({ request: { fetch } }).rest.users.getAuthenticated()
    },
  },
  {
    name: 'github-hook',
    sdk: 'octokit',
    way: ', a hook',
    slug: 'github',
    use: ({ github }, user) => github(user).rest.users.getAuthenticated(),
  },
  {
    name: 'stripe',
    sdk: 'stripe',
    slug: 'stripe',
    use: ({ stripe }, user) => stripe(user).balance.retrieve(),
    option: 'maxNetworkRetries: 0',
    bare: ({ fetch }) => {
      const { default: Stripe = require('stripe') } = require('stripe')
      return new Stripe('by xkit', { httpClient: Stripe.createFetchHttpClient(fetch) }).balance.retrieve()
    },
  },
  {
    name: 'openai',
    sdk: 'openai',
    slug: 'example',
    use: ({ openai }, user) => openai(user).models.list(),
    option: 'maxRetries: 0',
    bare: ({ fetch }) => {
      const { OpenAI } = require('openai')
      return new OpenAI({ apiKey: 'by xkit', baseURL: 'https://api.example.com', fetch }).models.list()
    },
  },
  {
    name: 'ky',
    sdk: 'ky',
    slug: 'example',
    use: ({ client }, user) => client(user).get(URL).json(),
    option: 'retry: 0',
    bare: async ({ fetch }) => {
      const { default: ky } = await import('ky')
      return ky.create({ fetch }).get(URL)
    },
  },
  {
    name: 'ofetch',
    sdk: 'ofetch',
    slug: 'example',
    use: ({ client }, user) => client(user)(URL),
    option: 'retry: 0',
    bare: async ({ fetch }) => {
      const { createFetch } = await import('ofetch')
      return createFetch({ fetch })(URL)
    },
  },
  {
    name: 'notion',
    sdk: '@notionhq/client',
    slug: 'notion',
    use: ({ notion }, user) => notion(user).users.me({}),
  },
  {
    name: 'intercom',
    sdk: 'intercom-client',
    slug: 'intercom',
    use: ({ intercom }, user) => intercom(user).admins.identify(),
  },
  {
    name: 'dropbox',
    sdk: 'dropbox',
    slug: 'dropbox',
    use: ({ dropbox }, user) => dropbox(user).usersGetCurrentAccount(),
  },
  {
    name: 'graphql-request',
    sdk: 'graphql-request',
    slug: 'example',
    use: ({ graphql }, user) => graphql(user).request('{ me }'),
  },
  { name: 'axios', sdk: 'axios', slug: 'example', use: ({ client }, user) => client(user).get(URL) },
  {
    name: 'shopify',
    sdk: '@shopify/admin-api-client',
    slug: 'shopify',
    use: async ({ shopify }, user) => {
      const { errors } = await shopify(user).request('{ shop { name } }')
      if (errors) throw errors
    },
  },
  {
    name: 'salesforce-hook',
    sdk: 'jsforce',
    slug: 'salesforce',
    use: async ({ salesforce }, user) => (await salesforce(user)).query('SELECT Id FROM Account'),
  },
  {
    name: 'box-hook',
    sdk: 'box-node-sdk',
    slug: 'box',
    use: ({ box }, user) => box(user).users.getUserMe(),
  },
  {
    name: 'google-hook',
    sdk: '@googleapis/drive',
    slug: 'google-drive',
    use: ({ googleDrive }, user) => googleDrive(user).files.list(),
  },
  {
    name: 'microsoft-hook',
    sdk: '@microsoft/microsoft-graph-client',
    slug: 'microsoft',
    use: (_snippet, _user, authProvider) => {
      const { Client } = require('@microsoft/microsoft-graph-client')
      return Client.initWithMiddleware({ authProvider }).api('/me').get()
    },
  },
]

/** Where an SDK keeps the error. */
function placeOf(thrown, error) {
  if (error === undefined) return 'its message alone'
  if (thrown === error) return 'itself'
  const name = Object.getOwnPropertyNames(thrown).find(each => thrown[each] === error)
  return name === undefined ? 'deeper' : `\`${name}\``
}

/** Resolves once the platform was asked twice; an SDK may take minutes to give up, and goes on meanwhile. */
async function repeats(asked, call) {
  const settled = Promise.allSettled([call]).then(() => true)
  for (let waited = 0; waited < LIMIT_MS && asked() < 2; waited += 50) {
    if (await Promise.race([settled, new Promise(resolve => setTimeout(resolve, 50))])) break
  }
  return asked() >= 2
}

/** A row for each plug, and what was not as it should be. */
async function runPlugs(emulator, xkit, isChosen) {
  const rows = []
  const faults = []
  for (const { name, sdk, way = '', slug, use, option, bare } of PLUGS.filter(plug => isChosen(plug.sdk))) {
    const [owner, other] = [`${name} without a token`, `${name} without the option`]
    const askedFor = id =>
      emulator.requests.filter(({ path }) => path.includes(encodeURIComponent(id))).length
    for (const id of [owner, other]) emulator.setConnection(id, slug, { enabled: false })
    const snippet = await import(pathToFileURL(path.join(FOLDER, `${name}.mjs`)).href)
    const begun = performance.now()
    const [{ status, reason }] = await Promise.allSettled([use(snippet, owner, xkit.for(owner, slug))])
    const isAtOnce = performance.now() - begun < AT_ONCE_MS
    const error = xkitErrorOf(reason)
    const asked = askedFor(owner)
    if (status !== 'rejected' || asked !== 1 || !isAtOnce) faults.push([name, asked, inspect(reason)])
    if (error !== undefined && error.code !== 'ERR_XKIT_NOT_ENABLED') faults.push([name, error.code])
    const isNeeded = bare === undefined || (await repeats(() => askedFor(other), bare(xkit.for(other, slug))))
    // A newer major may ask once by itself, where the snippet is for both.
    if (!isNeeded && !isNewest) faults.push([name, 'needs no option'])
    const stop = option !== undefined && isNeeded ? `\`${option}\`` : '–'
    const found = error === undefined ? 'no' : 'yes'
    rows.push([`${sdk}${way}`, versionOf(sdk), 'once', 'at once', placeOf(reason, error), found, stop])
  }
  return { rows, faults }
}

module.exports = { runPlugs }
