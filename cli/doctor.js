// Owns `xkit doctor`: the steps, their order, and which of them need which.
'use strict'

const { UsageError, onlyKind, readId } = require('./arguments.js')
const { Questions, checkAnswer, checkCredentials, checkGroupPath } = require('./doctor/answers.js')
const { checkConnection, checkDns, checkProxy } = require('./doctor/network.js')
const { checkRedis, redisOf } = require('./doctor/redis.js')
const { Step } = require('./doctor/report.js')
const settings = require('./doctor/settings.js')
const { describe } = require('./output.js')

const NAME = 'xkit doctor'
const OK = 0
const FAILURE = 1
const DEFAULT_SLUG = 'slack'

const help = `Usage: xkit doctor [options]

Checks a set-up step by step, as the client would use it, and says for each failed step what to do. Sends the keys to
the platform and nowhere else; prints neither keys nor tokens.

  --user <id>       ask for this user's connection
  --group <id>      ask for this group's connection, and find out by which path
  --context <id>    ask for this context's connection
  --slug <slug>     the connector to ask for (default ${DEFAULT_SLUG})
  --redis <url>     check this Redis too (default: that of XKIT_REDIS_URL, if it is set)
  --env-file <file> set the variables of this file first
  -h, --help        this text

Without an owner it asks for a user that cannot exist: "not provisioned" then proves that keys and address are right.
A Redis URL with a password is better given by XKIT_REDIS_URL: arguments are seen by every user of the machine in the list
of processes, and kept in the shell's history.
Each line begins with ok, FAIL, skip or note. Exit codes: 0 nothing failed, 1 otherwise.
`

const options = {
  user: { type: 'string' },
  group: { type: 'string' },
  context: { type: 'string' },
  slug: { type: 'string' },
  redis: { type: 'string' },
}

const STEPS = [
  { name: 'package', needs: [], check: settings.checkPackage },
  { name: 'keys', needs: ['package'], check: settings.checkKeys },
  { name: 'base URL', needs: ['package'], check: settings.checkBaseUrl },
  { name: 'paths', needs: ['package'], check: settings.checkPaths },
  { name: 'catalog URL', needs: ['package'], check: settings.checkCatalogUrl },
  { name: 'roots', needs: ['base URL'], check: settings.checkRoots },
  { name: 'proxy', needs: ['base URL'], check: checkProxy },
  { name: 'DNS', needs: ['proxy'], check: checkDns },
  { name: 'TCP/TLS', needs: ['DNS'], check: checkConnection },
  { name: 'credentials', needs: ['keys', 'paths', 'catalog URL', 'TCP/TLS'], check: checkCredentials },
  { name: 'answer', needs: ['credentials'], check: checkAnswer },
]
const REDIS_STEP = { name: 'Redis', needs: ['package'], check: checkRedis }
const GROUP_STEP = { name: 'group path', needs: ['credentials'], check: checkGroupPath }

/** Without these no client can be constructed. */
const CLIENT_NEEDS = ['keys', 'base URL', 'paths', 'catalog URL']

function readOwner(values) {
  const kind = onlyKind(NAME, values)
  return kind === undefined ? undefined : { [kind]: readId(NAME, `--${kind}`, values[kind]) }
}

async function run(values, positionals) {
  if (positionals.length > 0) throw new UsageError('it takes no arguments but options', NAME)
  const owner = readOwner(values)
  const slug = readId(NAME, '--slug', values.slug ?? DEFAULT_SLUG)
  const redis = redisOf(values.redis)
  const all = [
    ...STEPS,
    ...(owner?.group === undefined ? [] : [GROUP_STEP]),
    ...(redis === undefined ? [] : [REDIS_STEP]),
  ]
  // The step about paths would have nothing to report if nobody changed them.
  const steps = settings.setPaths().length > 0 ? all : all.filter(({ name }) => name !== 'paths')
  const state = { owner, slug, redis }
  const failed = new Set()
  const heldBack = new Set()
  for (const { name, needs, check } of steps) {
    const step = new Step(name)
    const missing = needs.filter(need => failed.has(need) || heldBack.has(need))
    if (missing.length > 0) {
      heldBack.add(name)
      step.skip(`needs ${missing.join(', ')}`)
      continue
    }
    state.canAsk = !CLIENT_NEEDS.some(need => failed.has(need))
    if (state.XkitClient) state.questions ??= new Questions(state)
    try {
      await check(step, state)
    } catch (error) {
      step.fail(describe(error))
    }
    if (step.failed) failed.add(name)
  }
  return failed.size === 0 ? OK : FAILURE
}

module.exports = { help, options, run }
