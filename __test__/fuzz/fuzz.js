// The fuzzer: `npm run fuzz -- [--seconds 60] [--cases N] [--seed N]`. Each case draws all that it needs from a seed
// of its own, and the first seed is printed, so a failure is repeated with its seed and `--cases 1`.
'use strict'

const { parseArgs } = require('node:util')
const { XkitClient } = require('../..')
const { ARGUMENT_CASES } = require('./arguments.js')
const { Violation, checkFailure, ensure, settle } = require('./checks.js')
const { Random } = require('./random.js')
const { startServer } = require('./server.js')
const { WIRE_CASES, sized } = require('./wire.js')

const LANES = 16
const REPORT_EVERY_MS = 5000
const TIMEOUT_MS = 700
const ATTEMPT_TIMEOUT_MS = 300
const KEYS = { publishableKey: 'pk_fuzz_51f0', secretKey: 'sk_fuzz_c29ad7' }
const SECRETS = [KEYS.secretKey, Object.values(KEYS).join(':')]

/** One call against a hostile answer, and now and then an ordinary one on the same client after it. */
function wireCase(makeCase) {
  return async (random, { baseUrl, seed, serve }) => {
    const token = `token-of-case-${seed}`
    const hostile = makeCase(random, token)
    const maxRetries = random.below(3)
    let requests = 0
    serve(path => {
      if (path.startsWith('/connections/next/')) return ordinary(`next-${token}`)
      requests++
      return hostile.plan
    })
    const limits = { timeoutMs: TIMEOUT_MS, attemptTimeoutMs: ATTEMPT_TIMEOUT_MS, maxRetries }
    const client = new XkitClient({ ...KEYS, baseUrl, ...limits })
    const secrets = [...SECRETS, token]
    const method = random.pick(['getAccessToken', 'getConnection'])

    const { value, error } = await settle(() => client[method]('u1', 'slack'), TIMEOUT_MS)

    if (error?.name === 'ConnectionUnavailableError') hostile.checkState(error.connection.status)
    if (error !== undefined) checkFailure(error, secrets, 1 + maxRetries)
    else if (typeof value === 'string') hostile.checkToken(value)
    else if (value.status === 'active') hostile.checkToken(value.accessToken)
    else hostile.checkState(value.status)
    const got = typeof value === 'string' ? value : value?.accessToken
    // A machine that stands still for that long proves nothing; how many got theirs is in the summary.
    const mayBeLate = error?.code === 'ERR_XKIT_TIMEOUT'
    const isServed = hostile.mustBe === undefined || got === hostile.mustBe
    ensure(isServed || mayBeLate, `did not get its token, but ${error?.code}`)
    count(got === undefined ? (value?.status ?? error.code) : 'token')
    ensure(requests <= 1 + maxRetries, `sent ${requests} requests with maxRetries ${maxRetries}`)
    const { inFlight, queued } = client.stats()
    ensure(inFlight === 0 && queued === 0, `left ${inFlight} calls in flight and ${queued} queued`)

    if (random.below(4)) return
    const next = await settle(() => client.getAccessToken('next', 'slack'), TIMEOUT_MS)
    if (next.error !== undefined) checkFailure(next.error, secrets, 3)
    else ensure(next.value === `next-${token}`, 'got the token of another call')
  }
}

/** What the calls against hostile answers ended in: a fuzzer that meets one wall only is of no use. */
const ends = new Map()
function count(end) {
  ends.set(end, (ends.get(end) ?? 0) + 1)
}

function ordinary(token) {
  const authorization = { status: 'active', access_token: token }
  return { chunks: [sized(JSON.stringify({ connection: { enabled: true }, authorization }))], end: 'keep' }
}

const CASES = [...WIRE_CASES.map(wireCase), ...ARGUMENT_CASES]

/** Runs case after case, some at once, until there were enough, time is up or one failed. */
async function run({ seed, cases, seconds }) {
  const plans = new Map()
  const server = await startServer(path => {
    const [, number, rest] = /^\/(\d+)(\/.*)$/.exec(path) ?? []
    return plans.get(Number(number))?.(rest) ?? { chunks: [], end: 'close' }
  })
  const end = performance.now() + seconds * 1000
  const problems = []
  let next = 0
  const lane = async () => {
    while (next < cases && performance.now() < end && problems.length === 0) {
      const own = (seed + next++) >>> 0
      const random = new Random(own)
      const serve = plan => plans.set(own, plan)
      try {
        await random.pick(CASES)(random, {
          baseUrl: `${server.origin}/${own}`,
          keys: KEYS,
          secrets: SECRETS,
          seed: own,
          serve,
        })
      } catch (error) {
        problems.push({ seed: own, what: error instanceof Violation ? error.message : error.stack })
      }
      plans.delete(own)
    }
  }
  const report = setInterval(() => console.log(`${next} cases begun`), REPORT_EVERY_MS)
  await Promise.all(Array.from({ length: LANES }, lane))
  clearInterval(report)
  await server.close()
  return { problems, done: next }
}

function readArguments() {
  const options = { seconds: { type: 'string' }, cases: { type: 'string' }, seed: { type: 'string' } }
  const { values } = parseArgs({ options })
  const numbers = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]))
  const known = { seconds: 60, cases: Number.POSITIVE_INFINITY, seed: Date.now() % 2 ** 31, ...numbers }
  for (const [name, value] of Object.entries(known)) {
    if (!(value >= 0)) throw new Error(`--${name} must be a number`)
  }
  return known
}

async function main() {
  const settings = readArguments()
  // Printed first: a crash of the process would leave nothing else.
  console.log(`fuzzing from seed ${settings.seed}`)
  const { problems, done } = await run(settings)
  // The others were under way with it, and may have failed for the same reason.
  for (const { seed, what } of problems.slice(0, 1)) {
    console.error(`The call ${what}\nRepeat it with: npm run fuzz -- --seed ${seed} --cases 1`)
  }
  console.log(`ends: ${Array.from(ends, ([end, times]) => `${times} ${end}`).join(', ')}`)
  console.log(`${done} cases, ${problems.length} failed`)
  process.exitCode = problems.length === 0 ? 0 : 1
}

main()
