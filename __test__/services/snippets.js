// Owns what is done with each snippet of docs/services.md, with the answers that its SDK is run against.

const path = require('node:path')
const { pathToFileURL } = require('node:url')
const clients = require('./clients.js')
const sdks = require('./sdks.js')
const { json } = require('./service.js')

const FOLDER = path.join(__dirname, '..', '..', 'docs', 'snippets', 'services')
const URL = 'https://api.example.com/me'

/** By file: the connector, the SDK whose service answers, what is called, and what that is answered in the end. */
const SNIPPETS = {
  slack: ['slack', '@slack/web-api', ({ channels }, user) => channels(user)],
  'slack-plug': ['slack', '@slack/web-api', ({ slack }, user) => slack(user).auth.test()],
  github: ['github', 'octokit', ({ user }, id) => user(id)],
  'github-fetch': ['github', 'octokit', ({ github }, user) => github(user).rest.users.getAuthenticated()],
  'github-hook': ['github', 'octokit', ({ github }, user) => github(user).rest.users.getAuthenticated()],
  'google-drive': ['google-drive', '@googleapis/drive', ({ files }, user) => files(user)],
  'google-hook': [
    'google-drive',
    '@googleapis/drive',
    ({ googleDrive }, user) => googleDrive(user).files.list(),
  ],
  'google-analytics': ['google-analytics', '@google-analytics/data', ({ metadata }, user) => metadata(user)],
  hubspot: ['hubspot', '@hubspot/api-client', ({ contacts }, user) => contacts(user)],
  salesforce: ['salesforce', 'jsforce', ({ accounts }, user) => accounts(user), json(200, { records: [] })],
  'salesforce-hook': [
    'salesforce',
    'jsforce',
    async ({ salesforce }, user) => (await salesforce(user)).query('SELECT Id FROM Account'),
    json(200, { records: [] }),
  ],
  shopify: [
    'shopify',
    '@shopify/shopify-api',
    async ({ shopify }, user) => {
      const { errors } = await shopify(user).request('{ shop { name } }')
      if (errors) throw errors
    },
  ],
  zendesk: ['zendesk', 'node-zendesk', ({ me }, user) => me(user)],
  xero: ['xero', 'xero-node', ({ organisations }, user) => organisations(user, 'tenant')],
  gitlab: ['gitlab', '@gitbeaker/rest', ({ user }, id) => user(id)],
  x: ['twitter', 'twitter-api-v2', ({ me }, user) => me(user)],
  airtable: ['airtable', 'airtable', ({ record }, user) => record(user, 'rec1')],
  microsoft: ['microsoft', '@microsoft/microsoft-graph-client', ({ me }, user) => me(user)],
  'microsoft-hook': ['microsoft', '@microsoft/microsoft-graph-client', ({ me }, user) => me(user)],
  figma: ['figma', 'figma-api', ({ me }, user) => me(user)],
  notion: ['notion', '@notionhq/client', ({ notion }, user) => notion(user).users.me({})],
  'box-hook': ['box', 'box-node-sdk', ({ box }, user) => box(user).users.getUserMe()],
  dropbox: ['dropbox', 'dropbox', ({ dropbox }, user) => dropbox(user).usersGetCurrentAccount()],
  intercom: ['intercom', 'intercom-client', ({ intercom }, user) => intercom(user).admins.identify()],
  stripe: ['stripe', 'stripe', ({ stripe }, user) => stripe(user).balance.retrieve()],
  'graphql-request': ['example', 'graphql-request', ({ graphql }, user) => graphql(user).request('{ me }')],
  'token-first': [
    'stripe',
    'stripe',
    ({ customers }, user) => customers(user),
    json(200, { object: 'list', data: [] }),
  ],
  'connect-first': [
    'stripe',
    'stripe',
    ({ customersOrConnect }, user) => customersOrConnect(user),
    json(200, { object: 'list', data: [] }),
  ],
  openai: ['example', 'openai', ({ openai }, user) => openai(user).models.list()],
  ky: ['example', 'ky', ({ client }, user) => client(user).get(URL).json()],
  ofetch: ['example', 'ofetch', ({ client }, user) => client(user)(URL)],
  axios: ['example', 'axios', ({ client }, user) => client(user).get(URL)],
}

function describe([name, [slug, sdk, use, fine]]) {
  const { hosts, dead, ...service } = [...sdks, ...clients].find(each => each.sdk === sdk)
  const file = pathToFileURL(path.join(FOLDER, `${name}.mjs`)).href
  const [answer] = Object.entries(dead)
  return {
    sdk,
    way: `, ${name}.mjs`,
    slug,
    hosts,
    fine: fine ?? service.fine,
    dead: Object.fromEntries([answer]),
    alive: {},
    isPlugged: true,
    call: async (_token, _xkit, user) => use(await import(file), user),
  }
}

module.exports = { FOLDER, SNIPPETS: Object.entries(SNIPPETS).map(describe), NAMES: Object.keys(SNIPPETS) }
