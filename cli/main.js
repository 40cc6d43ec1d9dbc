// Owns the command `xkit`: it runs the subcommand, and prints an error as clear lines with an exit code.
'use strict'

const { UsageError, readArguments } = require('./arguments.js')
const { loadEnvironment, takeEnvironmentFiles } = require('./environment-file.js')
const { describe, printError } = require('./output.js')
const { version } = require('../package.json')

const FAILURE = 1

const HELP = `Usage: xkit <command> [options]

  xkit token <user> <slug>   prints a valid access token for a user's or a group's connection
  xkit doctor                checks a set-up step by step and says what to do

  --env-file <file>          set the variables of this file first, as Node's own option does; may be repeated
  -h, --help, help           this text; \`xkit <command> --help\` for a command's options
  -v, --version, version     the version of this package

Keys and addresses come from the environment: XKIT_PUBLISHABLE_KEY, XKIT_SECRET_KEY, XKIT_BASE_URL,
XKIT_CATALOG_URL, XKIT_USER_PATH, XKIT_GROUP_PATH and XKIT_CONTEXT_PATH, or from a file: xkit doctor --env-file .env.
There are no options for keys, since every user of the machine sees the arguments of a process.
To see it work without keys: xkit token u1 slack --emulator
`

// Loaded on use, so that help and version work where the addon does not load.
const COMMANDS = {
  __proto__: null,
  token: () => require('./token.js'),
  doctor: () => require('./doctor.js'),
}

const HELP_WORDS = ['help', '--help', '-h']
const VERSION_WORDS = ['version', '--version', '-v']

/** Resolves with the exit code. */
async function run(args) {
  const { files, rest } = takeEnvironmentFiles(args)
  loadEnvironment(files)
  return runCommand(rest)
}

async function runCommand([name, ...rest]) {
  if (name === undefined) {
    // On stderr, since a script takes stdout for a token.
    process.stderr.write(HELP)
    return FAILURE
  }
  if (HELP_WORDS.includes(name) && COMMANDS[rest[0]] !== undefined) return runCommand([rest[0], '--help'])
  if (HELP_WORDS.includes(name) || VERSION_WORDS.includes(name)) {
    process.stdout.write(HELP_WORDS.includes(name) ? HELP : `${version}\n`)
    return 0
  }
  // The message does not repeat the argument, which may be a key in the wrong place.
  if (!(name in COMMANDS)) throw new UsageError('no such command')
  const command = COMMANDS[name]()
  const { values, positionals } = readArguments(`xkit ${name}`, rest, command.options)
  if (values.help) {
    process.stdout.write(command.help)
    return 0
  }
  loadEnvironment(values['env-file'] ?? [])
  return command.run(values, positionals)
}

async function main(args) {
  process.stdout.on('error', error => {
    // The reader, such as `head`, may leave early.
    if (error.code === 'EPIPE') return
    printError(`cannot write the output: ${error.code}`)
    process.exitCode = FAILURE
  })
  process.stderr.on('error', () => {})
  try {
    // process.exit() would lose output that is still in a pipe.
    const exitCode = await run(args)
    process.exitCode ||= exitCode
  } catch (error) {
    const usage = error instanceof UsageError
    printError(usage ? `${error.message} (see ${error.command} --help)` : describe(error))
    process.exitCode = FAILURE
  }
}

module.exports = { main }
