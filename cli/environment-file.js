// Owns `--env-file`, which works as Node's own option: it sets the variables of a file that are not set yet.
'use strict'

const { UsageError } = require('./arguments.js')

const FLAG = '--env-file'

/** The files that are named before the command, and the arguments behind them. */
function takeEnvironmentFiles(args) {
  const files = []
  let index = 0
  for (; args[index]?.split('=', 1)[0] === FLAG; index += 1) {
    const [, given] = /=(.*)/s.exec(args[index]) ?? []
    files.push(given ?? args[index + 1])
    if (given === undefined) index += 1
  }
  return { files, rest: args.slice(index) }
}

function loadEnvironment(files) {
  for (const file of files) {
    if (!file) throw new UsageError(`${FLAG} needs the name of a file`)
    if (process.loadEnvFile === undefined) throw new UsageError(`${FLAG} needs Node.js 20.12 or newer`)
    try {
      process.loadEnvFile(file)
    } catch (error) {
      throw new UsageError(`the file of ${FLAG} cannot be read: ${error.code ?? error.message}`)
    }
  }
}

module.exports = { loadEnvironment, takeEnvironmentFiles }
