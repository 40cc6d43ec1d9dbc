#!/usr/bin/env node
// Owns the command `xkit-emulator`: flags and seed file in, the emulator's addresses out, a clean end on a signal.
'use strict'

const { readFileSync } = require('node:fs')
const { parseArgs } = require('node:util')
const { startEmulator } = require('../emulator/index.js')
const { readCatalogPath: readTemplate } = require('../emulator/layout.js')
const options = require('../emulator/options.js')
const { LOOPBACK, isLoopback } = require('../emulator/server.js')

const DEFAULT_PORT = 4010
const FAILURE = 1
const WRONG_USAGE = 2
/** What the system says of a host that it cannot listen on. */
const HOST_ERRORS = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']
const SEED_FIELDS = ['users', 'groups', 'contexts']
const MASK = '********'

const EXPOSED = 'warning: anyone who reaches this port gets tokens from it; never use real ones here'

const HELP = `Usage: xkit-emulator [options]

Runs a local stand-in for the Xkit Platform API, with a catalog page, until it is interrupted.

  --port <number>           port; 0 takes a free one (default ${DEFAULT_PORT})
  --host <address>          where to listen; 0.0.0.0 is for another container (default ${LOOPBACK})
  --seed <file>             JSON file { "users": { "<id>": { "<slug>": state } }, "groups": …, "contexts": … }
  --catalog-path <path>     where the catalog has a connector's page (default /connectors/{slug})
  --publishable-key <key>   key that clients must send (default: a fake one)
  --secret-key <key>        key that clients must send (default: a fake one)
  -h, --help                this text

A state is { enabled, status, accessToken, errorCode, errorMessage, expiresIn }, each optional.
`

class CommandError extends Error {
  constructor(message, exitCode) {
    super(message)
    this.exitCode = exitCode
  }
}

function readFlags(args) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        seed: { type: 'string' },
        'catalog-path': { type: 'string' },
        'publishable-key': { type: 'string' },
        'secret-key': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    // A stray argument may be a key that lost its flag, so this one is not repeated.
    const reason =
      error.code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL'
        ? 'it takes no arguments but flags'
        : error.message
    throw new CommandError(`${reason.split('\n', 1)[0]} (see xkit-emulator --help)`, WRONG_USAGE)
  }
}

function readPort(text) {
  if (text === undefined) return DEFAULT_PORT
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new CommandError('--port must be a number from 0 to 65535', WRONG_USAGE)
  }
  return Number(text)
}

function readKey(flag, key) {
  if (key === '' || /\p{Cc}/u.test(key ?? '')) {
    throw new CommandError(`${flag} must not be empty or hold control characters`, WRONG_USAGE)
  }
  return key
}

function readPublishableKey(flag, key) {
  if (key?.includes(':')) throw new CommandError(`${flag} must not hold a colon`, WRONG_USAGE)
  return readKey(flag, key)
}

function readSeed(path) {
  if (path === undefined) return {}
  let text
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CommandError(`cannot read the seed file: ${error.code ?? error.message}`, FAILURE)
  }
  let seed
  try {
    // Editors on Windows may begin a file with a byte order mark, which JSON does not know.
    seed = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    // The parser's own message repeats a piece of the file, which may be a token.
    throw new CommandError('the seed file is not valid JSON', FAILURE)
  }
  const isObject = typeof seed === 'object' && seed !== null && !Array.isArray(seed)
  // Checked here, since the emulator's own options, such as the port, would be accepted there.
  if (!isObject || Object.keys(seed).some(key => !SEED_FIELDS.includes(key))) {
    throw new CommandError(`the seed file must be an object of: ${SEED_FIELDS.join(', ')}`, FAILURE)
  }
  return seed
}

/** A flag that the emulator itself knows how to read. */
function readBy(read, flag, text) {
  if (text === undefined) return undefined
  try {
    return read(flag, text)
  } catch (error) {
    throw new CommandError(error.message, WRONG_USAGE)
  }
}

async function start({ port, host, seed, publishableKey, secretKey, catalogPath }) {
  try {
    return await startEmulator({ ...seed, port, host, publishableKey, secretKey, catalogPath })
  } catch (error) {
    if (HOST_ERRORS.includes(error.code)) {
      throw new CommandError(
        `the host of --host is none of this machine (${error.code}); 0.0.0.0 is all of it`,
        FAILURE,
      )
    }
    if (error.code === 'EADDRINUSE') {
      throw new CommandError(
        `port ${port} is in use; choose another with --port, or 0 for a free one`,
        FAILURE,
      )
    }
    if (error.code === 'EACCES')
      throw new CommandError(`port ${port} may not be used by this account`, FAILURE)
    // Port and keys have been checked, so an argument refused by the emulator stands in the seed file.
    const message = error.code?.startsWith('ERR_INVALID_ARG')
      ? `the seed file: ${error.message.replaceAll('options.', '')}`
      : error.message
    throw new CommandError(message, FAILURE)
  }
}

/** A template may hold what ends a value for a shell or begins a comment in a file of variables. */
function quoted(value) {
  return /[#&?]/.test(value) ? `'${value}'` : value
}

function summary({ baseUrl, catalogUrl, publishableKey, secretKey }, flags) {
  const shown = (flag, key) => (flags[flag] === undefined ? key : MASK)
  return `The Xkit emulator is running.

  Platform API  ${baseUrl}
  Catalog       ${catalogUrl}

Set these in the environment of your program:

XKIT_BASE_URL=${baseUrl}
XKIT_CATALOG_URL=${quoted(catalogUrl)}
XKIT_PUBLISHABLE_KEY=${shown('publishable-key', publishableKey)}
XKIT_SECRET_KEY=${shown('secret-key', secretKey)}

Press Ctrl+C to stop.
`
}

async function main(args) {
  const flags = readFlags(args)
  if (flags.help) {
    process.stdout.write(HELP)
    return
  }
  const emulator = await start({
    port: readPort(flags.port),
    host: readBy(options.readHost, '--host', flags.host),
    publishableKey: readPublishableKey('--publishable-key', flags['publishable-key']),
    secretKey: readKey('--secret-key', flags['secret-key']),
    seed: readSeed(flags.seed),
    catalogPath: readBy(readTemplate, '--catalog-path', flags['catalog-path']),
  })
  // Only close: with nothing left open the process ends by itself, with code 0.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => emulator.close())
  if (!isLoopback(flags.host ?? LOOPBACK)) process.stderr.write(`xkit-emulator: ${EXPOSED}\n`)
  process.stdout.write(summary(emulator, flags))
}

// A reader such as `head` may leave early; the emulator goes on without it.
process.stdout.on('error', () => {})

main(process.argv.slice(2)).catch(error => {
  process.stderr.write(`xkit-emulator: ${error.message}\n`)
  process.exitCode = error.exitCode ?? FAILURE
})
