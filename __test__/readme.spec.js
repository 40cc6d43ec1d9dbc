// Owns the proof of the README: its code runs, and its tables list what the typings declare.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { text } = require('node:stream/consumers')
const { startEmulator } = require('xkit-node/emulator')

const ROOT = path.join(__dirname, '..')
const read = name => readFileSync(path.join(ROOT, name), 'utf8')
const README = read('README.md')
const TYPINGS = read('index.d.ts')
const SNIPPETS = Array.from(README.matchAll(/^```js\n(.*?)^```$/gms), ([, code]) => code)

/** The cells of the table whose first column has that heading, one array per row, without the two head rows. */
function table(heading) {
  const lines = README.split('\n')
  const from = lines.findIndex(line => line.startsWith(`| ${heading} |`))
  const length = lines.slice(from).findIndex(line => !line.startsWith('|'))
  return lines.slice(from + 2, from + length).map(line => cells(line))
}

function cells(line) {
  const columns = line.split(/(?<!\\)\|/).slice(1, -1)
  return columns.map(cell => cell.trim())
}

/** What stands between two braces of the typings. */
function declaration(name) {
  const [, body] = new RegExp(`interface ${name} [^{]*{\n(.*?)^}`, 'ms').exec(TYPINGS)
  return body
}

const quoted = (source, pattern) => Array.from(source.matchAll(pattern), ([match]) => match)

test('both commands stand on a line of their own', () => {
  expect(README.split('\n')).toEqual(expect.arrayContaining(['npm ci && npm run demo', 'npm ci && npm test']))
})

test('the least TypeScript is the one that a project of a user is compiled with', () => {
  const { devDependencies } = JSON.parse(read('__test__/consumers/typescript-oldest/package.json'))
  const [, least] = /needs TypeScript (\d+\.\d+) or newer/.exec(README)
  expect(devDependencies.typescript).toMatch(new RegExp(`^${least}\\.\\d+$`))
})

describe('the code', () => {
  let emulator
  beforeAll(async () => {
    emulator = await startEmulator({
      users: { 'some-user-id': { slack: { accessToken: 'user-token' }, github: { enabled: false } } },
      groups: { acme: { slack: { accessToken: 'group-token' } } },
    })
  })
  afterAll(() => emulator.close())

  /** Runs a snippet as a module of its own and gives what the expression is after it. */
  async function run(snippet, expression) {
    const code = `${snippet}\nconsole.log(JSON.stringify(${expression}))`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: ROOT,
      env: {
        ...process.env,
        XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
        XKIT_SECRET_KEY: emulator.secretKey,
        XKIT_BASE_URL: emulator.baseUrl,
        XKIT_CATALOG_URL: emulator.catalogUrl,
      },
    })
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
    expect(stderr).toBe('')
    return JSON.parse(stdout)
  }

  test('of the first example gives tokens, and where to connect', async () => {
    expect(await run(SNIPPETS[0], '[userToken, groupToken, next]')).toEqual([
      'user-token',
      'group-token',
      'https://acme.xkit.co/connectors/github',
    ])
  })

  test('of a rejected token calls the service with a token', async () => {
    emulator.setConnection('some-user-id', 'github', {})
    const snippet = SNIPPETS[1].replace('https://api.github.com/user', `${emulator.serviceUrl}/github/user`)
    expect(snippet).not.toBe(SNIPPETS[1])

    expect(await run(snippet, 'answer.status')).toBe(200)
    expect(emulator.serviceRequests).toEqual([{ method: 'GET', path: '/service/github/user', status: 200 }])
  })

  test('of the errors tells a broken connection from an outage', async () => {
    const slackToken = "await slackToken('some-user-id')"
    expect(await run(SNIPPETS[2], slackToken)).toEqual({ token: 'user-token' })
    emulator.failNext({ times: 3 })
    expect(await run(SNIPPETS[2], slackToken)).toEqual({ tryAgainLater: true })
    emulator.setConnection('pending-user', 'slack', { status: 'awaiting_callback' })
    expect(await run(SNIPPETS[2], "await slackToken('pending-user')")).toEqual({ tryAgainLater: true })
    expect(await run(SNIPPETS[2], "await slackToken('nobody')")).toEqual({
      redirectTo: `${emulator.catalogUrl}/connectors/slack`,
    })
  })

  test('of the jest example is the file that this suite runs', () => {
    expect(SNIPPETS[3]).toBe(read('__test__/readme-jest-example.spec.js'))
    expect(SNIPPETS).toHaveLength(4)
  })
})

describe('the tables', () => {
  test('list every option of the client', () => {
    const declared = Array.from(
      declaration('XkitClientOptions').matchAll(/^ {2}(\w+)\?:/gm),
      ([, name]) => name,
    )
    expect(table('option').map(([name]) => name)).toEqual(declared.map(name => `\`${name}\``))
  })

  test('give the defaults that the typings give', () => {
    const defaultsOf = name => Array.from(declaration(name).matchAll(/@default (\d+) \*\/\n {2}(\w+)\?:/g))
    expect(defaultsOf('XkitClientOptions')).toHaveLength(5)
    for (const [, value, name] of defaultsOf('XkitClientOptions')) {
      expect(table('option')).toContainEqual([`\`${name}\``, value, expect.any(String)])
    }
    expect(defaultsOf('CacheOptions')).toHaveLength(2)
    for (const [, value, name] of defaultsOf('CacheOptions')) {
      expect(table('option').find(([option]) => option === '`cache`')[2]).toContain(`${name}: ${value}`)
    }
    const paths = quoted(declaration('ConnectionPaths'), /'\/[^']+'/g)
    expect(paths).toHaveLength(3)
    for (const template of paths)
      expect(table('option').find(([name]) => name === '`paths`')[1]).toContain(template)
  })

  test('list every state', () => {
    const [, active] = /status: '(\w+)'/.exec(declaration('ActiveConnection'))
    const unavailable = /status: ('.+)$/m.exec(declaration('UnavailableConnection'))[1].match(/\w+/g)
    expect(table('`status`').map(([status]) => status)).toEqual(
      [active, ...unavailable].map(status => `\`${status}\``),
    )
  })

  test('list every code once, and nothing else', () => {
    const codes = table('class').map(([, code]) => code)
    const declared = new Set(quoted(TYPINGS, /(?<=')ERR_XKIT_\w+(?=')/g))
    expect(codes).toEqual([...declared].map(code => `\`${code}\``))
  })
})
