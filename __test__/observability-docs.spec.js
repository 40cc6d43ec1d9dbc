// Owns the proof of docs/observability.md: its tables are complete, its sample is a real line, and its counters add up.
'use strict'

const { tracingChannel } = require('node:diagnostics_channel')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { failureOf, flat, json, startPlatform } = require('./support/platform')
const { closeRigs, eventually, startChild } = require('./support/rigs')

const ROOT = path.join(__dirname, '..')
const read = file => readFileSync(path.join(ROOT, file), 'utf8')
const PAGE = read('docs/observability.md')

/** The cells of the table whose first column has that heading, one array per row. */
function table(heading) {
  const [, rows] = new RegExp(`^\\| ${heading} \\|.*\n\\|[ -|]*\n((?:\\|.*\n)+)`, 'm').exec(PAGE)
  return rows
    .trimEnd()
    .split('\n')
    .map(row =>
      row
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}

const names = heading => table(heading).map(([name]) => name.replaceAll('`', ''))

/** The fields of an interface of the typings. */
function declared(name) {
  const [, body] = new RegExp(`interface ${name} {\n(.*?)^}`, 'ms').exec(read('index.d.ts'))
  return Array.from(body.matchAll(/^ {2}(\w+)\??:/gm), ([, field]) => field)
}

let platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.close())
afterEach(closeRigs)

describe('the tables', () => {
  test('name the fields of a trace and the counters, as the typings do', () => {
    expect(names('field')).toEqual(declared('CallTrace'))
    expect(names('counter')).toEqual(declared('ClientStats'))
  })

  test('name the events and their channels', () => {
    const calls = tracingChannel('xkit-node:call')
    expect(table('event').map(([event, channel]) => [event, channel].map(cell => cell.slice(1, -1)))).toEqual(
      ['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map(event => [event, calls[event].name]),
    )
  })

  test('name the metrics and the attributes of the OpenTelemetry example', () => {
    const source = read('examples/opentelemetry/instrumentation.js')
    const used = new Set(source.match(/(?<=')(xkit\.\w[\w.]*|error\.type)(?=')/g))
    const [, section] = PAGE.split('\n## OpenTelemetry\n')
    expect(new Set(section.match(/(?<=`)(xkit\.\w[\w.]*|error\.type)(?=`)/g))).toEqual(used)
  })
})

test('the sample of NODE_DEBUG is what a call writes', async () => {
  platform.replyWith(json(200, flat()))
  async function script({ root, keys, baseUrl }) {
    const { XkitClient } = require(root)
    await new XkitClient({ ...keys, baseUrl }).getAccessToken('u1', 'slack')
  }
  const child = startChild(script, { baseUrl: platform.baseUrl }, { env: { NODE_DEBUG: 'xkit' } })
  const { stderr } = await child.ended

  const shape = line => line.replace(/^XKIT \d+/, 'XKIT pid').replace(/durationMs=\d+\.\d /, 'durationMs=ms ')
  const [sample] = PAGE.match(/(?<=^ {4})XKIT .*\n/m)
  expect(shape(stderr)).toBe(shape(sample))
})

test('the counters hold together, and agree with what the channel publishes', async () => {
  const hang = () => undefined
  const answers = {
    ok: json(200, flat()),
    down: json(503, {}),
    unknown: json(404, { error: 'unknown' }),
    hang,
  }
  platform.replyWith((request, response) => {
    const answer = answers[request.url.split('/').at(-2)]
    return typeof answer === 'function' ? answer(request, response) : answer
  })
  const client = platform.client({ cache: true, maxRetries: 1 })
  const published = { cached: 0, coalesced: 0, error: 0, ended: 0 }
  const handlers = {
    asyncEnd(trace) {
      published.ended++
      for (const field of ['cached', 'coalesced', 'error']) if (trace[field]) published[field]++
    },
  }
  const calls = tracingChannel('xkit-node:call')
  const token = (id, options) => client.getAccessToken(id, 'slack', options)

  calls.subscribe(handlers)
  try {
    await Promise.all([1, 2, 3, 4, 5].map(() => token('ok')))
    await token('ok')
    await client.getConnection('ok', 'slack')
    await token('ok', { fresh: true })
    await Promise.all([1, 2].map(() => failureOf(token('down'))))
    await failureOf(token('unknown'))
    const controller = new AbortController()
    const arrived = platform.nextRequest()
    const aborted = failureOf(token('hang', { signal: controller.signal }))
    await arrived
    controller.abort()
    await aborted
  } finally {
    calls.unsubscribe(handlers)
  }
  await eventually(() => client.stats().inFlight === 0)

  const stats = client.stats()
  expect(stats).toEqual({
    calls: 12,
    requests: 6,
    retries: 1,
    coalesced: 5,
    cacheHits: 2,
    cacheMisses: 9,
    failures: 2,
    rejections: 0,
    repairs: 0,
    inFlight: 0,
    queued: 0,
  })
  expect(stats.cacheHits + stats.cacheMisses).toBe(stats.calls - 1)
  expect(stats.requests - stats.retries).toBe(stats.calls - stats.cacheHits - stats.coalesced)
  expect(platform.requests).toHaveLength(stats.requests)
  expect(published).toEqual({
    ended: stats.calls,
    cached: stats.cacheHits,
    coalesced: stats.coalesced,
    error: stats.failures,
  })
})
