// Owns the steps about the platform's answers: does it accept the keys, is there a connection, which path is the groups'.
'use strict'

const { randomUUID } = require('node:crypto')
const { describe } = require('../output.js')
const { DEFAULT_PATHS } = require('../paths.js')
const { PATH_VARIABLES, variable } = require('../../lib/environment.js')
const { isXkitError } = require('../../lib/errors.js')

// The client's limit for one attempt. An answer may include the refresh of a token, which takes seconds.
const CALL_MS = 8000
const NETWORK_CODES = ['ERR_XKIT_CONNECT', 'ERR_XKIT_PROXY', 'ERR_XKIT_TIMEOUT', 'ERR_XKIT_TLS']
const REFUSAL_CODES = ['ERR_XKIT_INVALID_API_KEY', 'ERR_XKIT_FORBIDDEN']

/** The client's default first, then those that the platform's pages suggest. */
const GROUP_PATHS = [DEFAULT_PATHS.group, DEFAULT_PATHS.user, DEFAULT_PATHS.context]
/** On this path an id may be a user's or a group's. */
const SHARED_PATH = DEFAULT_PATHS.user

/**
 * Asks the platform once for each path, however many steps need the answer: `{ path?, connection }` or `{ path?, error }`.
 * Without an owner it asks for a user that cannot exist.
 */
class Questions {
  #XkitClient
  #owner
  #slug
  #asked = new Map()

  constructor({ XkitClient, owner, slug }) {
    this.#XkitClient = XkitClient
    this.#owner = owner ?? { user: `xkit-doctor-${randomUUID()}` }
    this.#slug = slug
  }

  /** By the path that the client uses. */
  first() {
    return this.#ask(undefined)
  }

  /** By the client's path, without HTTP/2. */
  overHttp1() {
    return this.#ask(undefined, { http2: false })
  }

  /** For a group also by the other known paths, unless the first answer refuses the keys. */
  async all() {
    const first = await this.first()
    if (this.#owner.group === undefined || REFUSAL_CODES.includes(first.error?.code)) return [first]
    const own = variable(PATH_VARIABLES.group) ?? DEFAULT_PATHS.group
    const answers = [{ ...first, path: own }]
    for (const path of GROUP_PATHS.filter(other => other !== own)) {
      answers.push({ ...(await this.#ask(path)), path })
    }
    return answers
  }

  #ask(path, options) {
    const question = JSON.stringify([path, options])
    if (!this.#asked.has(question)) this.#asked.set(question, this.#call(path, options))
    return this.#asked.get(question)
  }

  async #call(path, options) {
    const client = new this.#XkitClient({
      timeoutMs: CALL_MS,
      attemptTimeoutMs: CALL_MS,
      // A retry would hide the fault that the doctor looks for.
      maxRetries: 0,
      ...(path === undefined ? {} : { paths: { group: path } }),
      ...options,
    })
    try {
      return { connection: await client.getConnection(this.#owner, this.#slug) }
    } catch (error) {
      if (!isXkitError(error)) throw error
      return { error }
    } finally {
      await client.close()
    }
  }
}

/** The error if there was no answer, or none in HTTP. */
function networkFailure({ error }) {
  const isNoHttp = error?.code === 'ERR_XKIT_INVALID_RESPONSE' && error.status === undefined
  return isNoHttp || NETWORK_CODES.includes(error?.code) ? error : undefined
}

const isUnknown = ({ connection }) => connection?.status === 'not_provisioned'
const isKnown = answer => answer.connection !== undefined && !isUnknown(answer)

/** The most informative answer. */
function bestOf(answers) {
  return answers.find(isKnown) ?? answers.find(isUnknown) ?? answers[0]
}

async function checkCredentials(step, { questions, owner }) {
  const answers = await questions.all()
  const best = bestOf(answers)
  const refused = answers.find(({ error }) => REFUSAL_CODES.includes(error?.code))
  if (owner === undefined && isUnknown(best)) {
    step.ok('the platform answers "not provisioned" for a user that cannot exist: keys and address are right')
  } else if (owner === undefined && best.connection) {
    step.note(
      `the platform answers "${best.connection.status}" for a user that cannot exist: check that the base URL is the Platform API`,
    )
  } else if (best.connection) {
    step.ok('the platform takes the keys')
  } else if (refused) {
    step.fail(describe(refused.error))
  } else {
    step.skip('the answer does not tell whether the keys are right')
  }
}

async function checkAnswer(step, { questions, owner, slug }) {
  const best = bestOf(await questions.all())
  if (best.error) {
    step.fail(describe(best.error))
  } else if (owner === undefined && isUnknown(best)) {
    step.skip('name an owner with --user, --group or --context to see a whole one')
  } else if (isUnknown(best)) {
    const [kind] = Object.keys(owner)
    step.note(`not_provisioned: the platform does not know this ${kind}; check the id`)
  } else {
    step.ok(describeConnection(best.connection, slug))
  }
}

function describeConnection(connection, slug) {
  const { status, expiresAt, connectUrl, errorCode, errorMessage } = connection
  const facts = [status]
  if (status === 'active') {
    facts.push(
      'with a token (not shown)',
      expiresAt ? `valid until ${expiresAt.toISOString()}` : 'no expiry is told',
    )
  }
  if (connection.slug !== undefined && connection.slug !== slug) {
    facts.push(`the platform calls the connector ${connection.slug}`)
  }
  const words = [errorCode, errorMessage].filter(Boolean).join(': ')
  if (words !== '') facts.push(`the platform says: ${words}`)
  if (connectUrl !== undefined) facts.push(`the owner acts at ${connectUrl}`)
  return facts.join(', ')
}

async function checkGroupPath(step, { questions }) {
  const answers = await questions.all()
  for (const { path, connection, error } of answers) {
    step.note(`${path}: ${connection?.status ?? error.code}${error?.status ? ` (${error.status})` : ''}`)
  }
  const [first] = answers
  const best = bestOf(answers)
  const line = `${PATH_VARIABLES.group}=${best.path}`
  const condition = best.path === SHARED_PATH ? ", unless the id is also a user's" : ''
  const advice = `set ${line} in the environment (or the option paths.group)${condition}`
  if (best === first && isKnown(first)) {
    step.ok(`the client's own path, ${first.path}, is right: there is nothing to set`)
  } else if (first.error?.retryable) {
    step.skip("the client's own path met a passing fault: run this again")
  } else if (isKnown(best)) {
    step.fail(`this group has its connection under another path: ${advice}`)
  } else if (isUnknown(first)) {
    step.note('not settled: name a group that the platform knows, with a connection')
  } else if (isUnknown(best)) {
    step.fail(`groups seem to have another path, but this group is not known there: check its id; ${advice}`)
  } else {
    step.fail(
      `none of the known paths has groups: ask Xkit for the right one, and set it as ${PATH_VARIABLES.group}, or with the client's option paths`,
    )
  }
}

module.exports = { GROUP_PATHS, Questions, checkAnswer, checkCredentials, checkGroupPath, networkFailure }
