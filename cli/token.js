// Owns `xkit token`: it prints a connection's token on stdout, or on stderr why there is none.
'use strict'

const { UsageError, onlyKind, readId } = require('./arguments.js')
const { describe, hasInvisible, printError, toJson } = require('./output.js')
const { DEFAULT_PATHS } = require('./paths.js')
const { startEmulator } = require('../emulator/index.js')
const { ConnectionUnavailableError, XkitClient, isXkitError } = require('../index.js')

const NAME = 'xkit token'
const OK = 0
const FAILURE = 1
const UNAVAILABLE = 2
const MAX_TIMEOUT_MS = 2 ** 31 - 1

const help = `Usage: xkit token <user> <slug> [options]

Prints a valid access token for the user's connection, and nothing else, so that $(npx --no xkit token u1 slack) works.

  --group          the first argument is a group's id
  --context        the first argument is a context's id
  --json           print the connection as one JSON object; an active one holds accessToken
  --timeout <ms>   limit of the call in milliseconds (default 20000)
  --emulator       ask an embedded emulator that knows this owner: a made-up token, no keys needed
  --env-file <f>   set the variables of this file first
  -h, --help       this text

An argument that begins with a dash goes behind --.
Exit codes: 0 a token; 2 the platform answered, and there is none (the reason and the page where the owner acts are on
stderr); 1 anything else.
`

const options = {
  group: { type: 'boolean' },
  context: { type: 'boolean' },
  json: { type: 'boolean' },
  timeout: { type: 'string' },
  emulator: { type: 'boolean' },
}

function readTimeout(text) {
  if (text === undefined) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) : 0
  if (ms < 1 || ms > MAX_TIMEOUT_MS) {
    throw new UsageError(`--timeout must be a number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`, NAME)
  }
  return ms
}

/** The connection with its token, which is not enumerable and would be missing from a copy. */
function wholeJson(connection) {
  return toJson({ ...connection, accessToken: connection.accessToken })
}

function explainUnavailable(error) {
  const { connectUrl, errorCode, errorMessage } = error.connection
  const words = [errorCode, errorMessage].filter(Boolean).join(': ')
  const lines = [describe(error)]
  if (words !== '') lines.push(`the platform says: ${words}`)
  else if (connectUrl === undefined)
    lines.push('set XKIT_CATALOG_URL to be told the page where the owner does that')
  printError(...lines)
}

function explainFailure(error) {
  const lines = [describe(error)]
  if (isXkitError(error)) lines.push('`npx --no xkit doctor` checks the set-up step by step')
  printError(...lines)
}

/** A client by the environment, or for the emulator. The cache answers the second question about the connection. */
function createClient(emulator) {
  if (emulator === undefined) return new XkitClient({ cache: true })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  return new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey, paths: DEFAULT_PATHS, cache: true })
}

async function run(values, positionals) {
  const kind = onlyKind(NAME, values) ?? 'user'
  const timeoutMs = readTimeout(values.timeout)
  if (positionals.length !== 2) {
    throw new UsageError(`it takes two arguments, a ${kind}'s id and a connector's slug`, NAME)
  }
  const owner = { [kind]: readId(NAME, `the ${kind}'s id`, positionals[0]) }
  const slug = readId(NAME, 'the slug', positionals[1])
  const emulator = values.emulator ? await startEmulator() : undefined
  try {
    if (emulator) {
      printError('this asks an embedded emulator, so the token is made up')
      emulator.setConnection(owner, slug)
    }
    const client = createClient(emulator)
    const token = await client.getAccessToken(owner, slug, { timeoutMs })
    if (!values.json && hasInvisible(token)) {
      printError(
        'the token holds characters that a terminal does not show, so it is not printed: see it with --json',
      )
      return FAILURE
    }
    const text = values.json ? wholeJson(await client.getConnection(owner, slug, { timeoutMs })) : token
    process.stdout.write(`${text}\n`)
    return OK
  } catch (error) {
    if (!(error instanceof ConnectionUnavailableError)) {
      explainFailure(error)
      return FAILURE
    }
    if (values.json) process.stdout.write(`${wholeJson(error.connection)}\n`)
    explainUnavailable(error)
    return UNAVAILABLE
  } finally {
    await emulator?.close()
  }
}

module.exports = { help, options, run }
