// Owns the command `xkit-emulator`: it reads flags, environment and seed file, prints the addresses, and ends on a signal.
'use strict'

const { parseArgs } = require('node:util')
const { CommandError, FAILURE, WRONG_USAGE } = require('./emulator/errors.js')
const { readSeed } = require('./emulator/seed.js')
const { summary } = require('./emulator/summary.js')
const { clean } = require('./output.js')
const { readAllowedHost } = require('../emulator/hosts.js')
const { startEmulator } = require('../emulator/index.js')
const { readCatalogPath } = require('../emulator/layout.js')
const { readHost } = require('../emulator/options.js')
const { LOOPBACK, isLoopback } = require('../emulator/server.js')
const { variable } = require('../lib/environment.js')

const DEFAULT_PORT = 4010
/** Codes of the system for a host that it cannot listen on. */
const HOST_ERRORS = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN']
/** Not a client's variables, which may hold real keys: nobody should send those to an emulator. */
const KEY_VARIABLES = {
  publishableKey: 'XKIT_EMULATOR_PUBLISHABLE_KEY',
  secretKey: 'XKIT_EMULATOR_SECRET_KEY',
}

const EXPOSED =
  'warning: anyone who reaches this port and has the keys gets tokens from it; never use real ones here'

const HELP = `Usage: xkit-emulator [options]

Runs a local stand-in for the Xkit Platform API, with a catalog page, until it is interrupted.

  --port <number>           port; 0 takes a free one (default ${DEFAULT_PORT})
  --host <address>          where to listen; 0.0.0.0 is for another container (default ${LOOPBACK})
  --allow-host <name>       answer requests for this host too, such as the container's own name; may be repeated
  --seed <file>             JSON file { "users": { "<id>": { "<slug>": state } }, "groups": …, "contexts": … }
  --catalog-path <path>     where the catalog has a connector's page (default /connectors/{slug})
  --publishable-key <key>   key that clients must send (default: a random one)
  --secret-key <key>        key that clients must send (default: a random one)
  -h, --help                this text

A state is { enabled, status, accessToken, errorCode, errorMessage, expiresIn }, each optional.

It answers for localhost, for IP addresses and for the name of --host, so that no page in a browser reaches it under a
name of its own; --allow-host adds a name.

The keys can be given by ${KEY_VARIABLES.publishableKey} and ${KEY_VARIABLES.secretKey} too, which is better:
arguments are seen by every user of the machine in the list of processes, and kept in the shell's history.

Exit codes: 0 after a signal; 1 it cannot start (port, host, seed file); 2 wrong usage.
`

function readFlags(args) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        'allow-host': { type: 'string', multiple: true },
        seed: { type: 'string' },
        'catalog-path': { type: 'string' },
        'publishable-key': { type: 'string' },
        'secret-key': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    // The message does not repeat a stray argument, which may be a key that lost its flag.
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

function readKey(flag, given, option) {
  const key = given ?? variable(KEY_VARIABLES[option])
  const name = given === undefined ? KEY_VARIABLES[option] : flag
  if (key === '' || /\p{Cc}/u.test(key ?? '')) {
    throw new CommandError(`${name} must not be empty or hold control characters`, WRONG_USAGE)
  }
  if (option === 'publishableKey' && key?.includes(':')) {
    throw new CommandError(`${name} must not hold a colon`, WRONG_USAGE)
  }
  return key
}

/** Reads a flag's value as the emulator reads the option. */
function readBy(read, flag, text) {
  if (text === undefined) return undefined
  try {
    return read(flag, text)
  } catch (error) {
    throw new CommandError(error.message, WRONG_USAGE)
  }
}

async function start(options) {
  try {
    return await startEmulator(options)
  } catch (error) {
    throw new CommandError(reasonOf(error, options.port))
  }
}

function reasonOf({ code, message }, port) {
  if (HOST_ERRORS.includes(code))
    return `the host of --host is none of this machine (${code}); 0.0.0.0 is all of it`
  if (code === 'EADDRINUSE') return `port ${port} is in use; choose another with --port, or 0 for a free one`
  if (code === 'EACCES') return `port ${port} may not be used by this account`
  // Flags and keys are checked already, so the emulator can only refuse an argument that comes from the seed file.
  return code?.startsWith('ERR_INVALID_ARG')
    ? `the seed file: ${message.replaceAll('options.', '')}`
    : message
}

async function run(args) {
  const flags = readFlags(args)
  if (flags.help) {
    process.stdout.write(HELP)
    return
  }
  const keys = {
    publishableKey: readKey('--publishable-key', flags['publishable-key'], 'publishableKey'),
    secretKey: readKey('--secret-key', flags['secret-key'], 'secretKey'),
  }
  const options = {
    port: readPort(flags.port),
    host: readBy(readHost, '--host', flags.host),
    allowedHosts: flags['allow-host']?.map(name => readBy(readAllowedHost, '--allow-host', name)),
    catalogPath: readBy(readCatalogPath, '--catalog-path', flags['catalog-path']),
    ...keys,
  }
  const seed = readSeed(flags.seed)
  const emulator = await start({ ...seed, ...options })
  // Closing is enough: with nothing left open, the process ends with code 0.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => emulator.close())
  if (!isLoopback(flags.host ?? LOOPBACK)) process.stderr.write(`xkit-emulator: ${EXPOSED}\n`)
  process.stdout.write(summary(emulator, seed, keys))
}

async function main(args) {
  // The reader of stdout, such as `head`, may leave early; the emulator goes on.
  process.stdout.on('error', () => {})
  try {
    await run(args)
  } catch (error) {
    process.stderr.write(`xkit-emulator: ${clean(error.message)}\n`)
    process.exitCode = error.exitCode ?? FAILURE
  }
}

module.exports = { main }
