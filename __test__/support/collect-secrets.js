// Runs with each test file and changes nothing that a test could notice: it takes note of every error and every
// connection that the package makes and of whatever is written to a console, a stream or by a child process, and fails
// the test after which one of the known secrets shows in any of it.
'use strict'

const childProcess = require('node:child_process')
const util = require('node:util')
const { announceKeys, announcePassword, announceToken, findKeys, findSecrets } = require('./known-secrets.js')
const { renderings } = require('./secrets.js')

let seen = new Map()
/** A child process may end after jest has taken the file's globals down. */
let isOver = false

/** Keeps one of each: a loop of a thousand calls makes a thousand errors that read the same. */
function note(what, value, find = findSecrets) {
  if (isOver) return
  seen.set(`${what} ${summary(value)}`, { what, value, find, test: expect.getState().currentTestName })
}

/** All that a value holds but the stacks, which take long to write and repeat the message. */
function summary(value) {
  if (typeof value === 'string') return value
  if (!util.types.isNativeError(value)) return inspectWhole(value)
  const { stack, cause, ...fields } = Object.getOwnPropertyDescriptors(value)
  return inspectWhole(fields) + (cause === undefined ? '' : summary(cause.value))
}

function inspectWhole(value) {
  return util.inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY })
}

/** What shows a secret among all that was noted since the last time. */
function search() {
  const notes = seen.values()
  seen = new Map()
  const found = []
  for (const { what, value, find, test } of notes) {
    const ways = typeof value === 'string' ? [['text', value]] : renderings(value)
    const texts = new Map(Array.from(ways, ([way, text]) => [text, way]))
    for (const [text, way] of texts) {
      for (const form of find(text)) found.push(`${what} (${way}) shows ${form} in "${test}"`)
    }
  }
  return found
}

function expectNothingShown() {
  const found = search()
  if (found.length > 0) throw new Error(`A secret was shown:\n${found.join('\n')}`)
}

/** The function itself, with what it returns or throws noted where `isNoted` says so. */
function observed(call, what, isNoted = util.types.isNativeError) {
  return function (...args) {
    let result
    try {
      result = call.apply(this, args)
    } catch (error) {
      note(`${what} threw what`, error)
      throw error
    }
    if (isNoted(result)) note(`what ${what} made`, result)
    return result
  }
}

const isClass = value => /^class\b/.test(Function.prototype.toString.call(value))

/**
 * Observes the functions of a module. Each export is looked up when it is asked for: within `jest.isolateModules` the
 * package has a second copy, which is to get its own classes and not those of the first.
 */
function observeModule(path, isNoted) {
  jest.doMock(path, () => {
    const observer = {}
    for (const name of Object.keys(jest.requireActual(path))) {
      const get = () => {
        const real = jest.requireActual(path)[name]
        return typeof real === 'function' && !isClass(real) ? observed(real, name, isNoted) : real
      }
      Object.defineProperty(observer, name, { get, enumerable: true })
    }
    return observer
  })
}

// Whatever fails in the package is made by one of these two.
observeModule('../../lib/errors.js', made => {
  const isConnection = Object.hasOwn(Object(made), 'status') && typeof made.status === 'string'
  if (isConnection && Object.hasOwn(made, 'accessToken')) announceToken(made.accessToken)
  return isConnection || util.types.isNativeError(made)
})
// It also reads fields, which may hold errors of others.
observeModule(
  '../../lib/checks.js',
  value => util.types.isNativeError(value) && /^ERR_INVALID_ARG/.test(value.code),
)
// What is a secret is learned where the package takes it over, and where the emulator hands it out.
observeModule('../../lib/options.js', options => {
  learn(options)
  return false
})
observeModule('../../emulator/options.js', options => {
  if (options !== undefined && Object.hasOwn(options, 'secretKey')) announceKeys(options)
  return false
})
observeModule('../../emulator/answers.js', answer => {
  JSON.stringify(answer, (name, value) => {
    if (name === 'access_token' || name === 'credential') announceToken(value)
    return value
  })
  return false
})

/** What a client is given to keep to itself, from options or from the environment. */
function learn({ publishableKey, secretKey, proxy }) {
  announceKeys({ publishableKey: publishableKey?.trimEnd(), secretKey: secretKey?.trimEnd() })
  if (proxy === undefined || !URL.canParse(proxy.url)) return
  const { username, password } = new URL(proxy.url)
  const meant = decode(password)
  for (const secret of [password, meant, `${decode(username)}:${meant}`]) announcePassword(secret)
}

function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    // Not encoded, then.
    return text
  }
}

const CONSOLE_METHODS = ['debug', 'dir', 'error', 'info', 'log', 'table', 'trace', 'warn']

function watchConsole(target) {
  for (const method of CONSOLE_METHODS) {
    const write = target[method]
    target[method] = function (...args) {
      for (const value of args) note(`console.${method}`, value)
      return write.apply(this, args)
    }
  }
}

// These are Node's own and outlive the test file, so they are put back.
const restored = []
function patch(object, name, patched) {
  const original = object[name]
  object[name] = patched(original)
  restored.push(() => {
    object[name] = original
  })
}

function stop() {
  isOver = true
  for (const restore of restored.splice(0)) restore()
}

function watchStream(stream) {
  patch(stream, 'write', write => {
    return function (chunk, ...rest) {
      note('a stream of the process', String(chunk))
      return write.call(this, chunk, ...rest)
    }
  })
}

watchConsole(console)
for (const stream of [process.stdout, process.stderr]) watchStream(stream)
patch(childProcess.ChildProcess.prototype, 'spawn', spawn => {
  return function (...args) {
    const result = spawn.apply(this, args)
    const read = { stdout: '', stderr: '' }
    for (const stream of Object.keys(read)) {
      this[stream]?.on('data', chunk => {
        read[stream] += chunk
      })
    }
    this.once('close', () => noteChild(read))
    return result
  }
})
patch(childProcess, 'spawnSync', spawnSync => (...args) => {
  const result = spawnSync(...args)
  noteChild({ stdout: String(result.stdout), stderr: String(result.stderr) })
  return result
})

function noteChild({ stdout, stderr }) {
  // Commands and scripts are run for the token that they print.
  note('stdout of a child process', stdout, findKeys)
  note('stderr of a child process', stderr)
}

afterEach(expectNothingShown)
afterAll(() => {
  stop()
  expectNothingShown()
})
// For environment.js.
globalThis.stopCollectingSecrets = stop

module.exports = { search, watchConsole, watchStream }
