// Owns the demo: it shows each situation of a backend against the embedded emulator, as code and result.
'use strict'

const { XkitClient, getAccessToken, getGroupAccessToken } = require('..')
const { startEmulator } = require('../emulator')

/** The requests of one call in an outage: the first one and both retries. */
const WHOLE_CALL = 3
const LABEL_WIDTH = 10

let titles = 0

class Surprise extends Error {}

async function main() {
  const emulator = await startEmulator({
    users: {
      'some-user-id': {
        slack: { accessToken: 'xoxb-token-of-some-user' },
        github: { enabled: false },
        salesforce: { status: 'error', errorCode: 'revoked', errorMessage: 'The user removed the app' },
      },
    },
    groups: { acme: { slack: { accessToken: 'xoxp-token-of-the-group' } } },
  })
  try {
    await show(emulator)
  } finally {
    await emulator.close()
  }
}

async function show(emulator) {
  // A deployment sets these; the functions and `new XkitClient()` read them.
  Object.assign(process.env, {
    XKIT_PUBLISHABLE_KEY: emulator.publishableKey,
    XKIT_SECRET_KEY: emulator.secretKey,
    XKIT_BASE_URL: emulator.baseUrl,
    XKIT_CATALOG_URL: emulator.catalogUrl,
  })
  const connectPage = slug => `${emulator.catalogUrl}/connectors/${slug}`
  print('The emulator stands in for the Xkit Platform API, on this computer only:')
  print(`  XKIT_BASE_URL=${emulator.baseUrl}`)
  print(`  XKIT_CATALOG_URL=${emulator.catalogUrl}`)

  title("A user's token")
  await step(() => getAccessToken('some-user-id', 'slack'), { token: 'xoxb-token-of-some-user' })

  title("A group's token")
  await step(() => getGroupAccessToken('acme', 'slack'), { token: 'xoxp-token-of-the-group' })

  title('A connection that the user has not enabled')
  print('  > const xkit = new XkitClient()')
  const xkit = new XkitClient()
  const github = () => xkit.getConnection('some-user-id', 'github')
  await step(github, { status: 'not_enabled', connectUrl: connectPage('github') })
  note('The user goes to connectUrl and enables it. Then the same call works:')
  emulator.setConnection('some-user-id', 'github', { accessToken: 'gho_token-of-some-user' })
  await step(github, { status: 'active', token: 'gho_token-of-some-user' })

  title('A connection that needs repair')
  await step(() => xkit.getConnection('some-user-id', 'salesforce'), {
    status: 'needs_reauthorization',
    errorCode: 'revoked',
    connectUrl: connectPage('salesforce'),
  })
  note('Who only asks for the token gets an error that says the same:')
  await step(() => getAccessToken('some-user-id', 'salesforce'), {
    error: 'ConnectionUnavailableError',
    code: 'ERR_XKIT_NEEDS_REAUTHORIZATION',
    retryable: false,
    connectUrl: connectPage('salesforce'),
  })

  title('An owner that nobody provisioned')
  await step(() => getAccessToken('unknown-user-id', 'slack'), {
    error: 'ConnectionUnavailableError',
    code: 'ERR_XKIT_NOT_PROVISIONED',
    retryable: false,
    connectUrl: connectPage('slack'),
  })

  title('An outage of the platform')
  note(`The next ${WHOLE_CALL} requests are answered with 503. Nobody is told to connect again:`)
  emulator.failNext({ status: 503, times: WHOLE_CALL })
  await step(() => getAccessToken('some-user-id', 'slack'), {
    error: 'XkitApiError',
    code: 'ERR_XKIT_SERVER',
    retryable: true,
    attempts: WHOLE_CALL,
  })
  note('The error is retryable. After the outage the same call works:')
  await step(() => getAccessToken('some-user-id', 'slack'), { token: 'xoxb-token-of-some-user' })

  print('\nEverything went as expected.')
}

/** Runs the call, and prints its code and its result. */
async function step(call, expected) {
  print(`  > await ${String(call).replace('() => ', '')}`)
  const result = await outcome(call)
  const differs = Object.keys(expected).some(name => result[name] !== expected[name])
  if (differs) throw new Surprise(`expected ${summary(expected)}, got ${summary(result)}`)
  for (const [name, value] of Object.entries(expected)) {
    print(`    ${name.padEnd(LABEL_WIDTH)} ${shown(name, value)}`)
  }
}

async function outcome(call) {
  try {
    const result = await call()
    if (typeof result === 'string') return { token: result }
    const { status, accessToken, errorCode, connectUrl } = result
    return { status, token: accessToken, errorCode, connectUrl }
  } catch (error) {
    const { name, code, retryable, attempts, connectUrl } = error
    return { error: name, code, retryable, attempts, connectUrl }
  }
}

function summary(fields) {
  const known = Object.entries(fields).filter(([, value]) => value !== undefined)
  return known.map(([name, value]) => `${name} ${shown(name, value)}`).join(', ')
}

function shown(name, value) {
  return name === 'token' ? `${value.slice(0, 4)}........` : String(value)
}

function title(text) {
  titles += 1
  print(`\n${titles}. ${text}`)
}

function note(text) {
  print(`  ${text}`)
}

function print(line) {
  process.stdout.write(`${line}\n`)
}

main().catch(error => {
  const what = error instanceof Surprise ? error.message : (error.stack ?? error)
  process.stderr.write(`\nThe demo met a surprise: ${what}\n`)
  process.exitCode = 1
})
