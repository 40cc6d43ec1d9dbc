// Owns the proof of the example: spans with the right parent, outcome and error, metrics in seconds, and no secret in any.
'use strict'

require('../../__test__/support/clear-environment.js')
const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const path = require('node:path')
const { after, afterEach, before, beforeEach, test } = require('node:test')
const { promisify } = require('node:util')
const { SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api')
const { XkitClient } = require('../..')
const { startEmulator } = require('../../emulator')
const { recordCacheHits, recordCalls } = require('./instrumentation.js')
const { startTelemetry } = require('./telemetry.js')

const OWNER = 'owner-id-3f81c0'
const GROUP = 'group-id-77ab12'
const TOKEN = 'xoxb-otel-5a1e09'
const GROUP_TOKEN = 'xoxb-otel-c2d7f4'

let telemetry
let stopRecording
let emulator
let xkit

before(() => {
  telemetry = startTelemetry()
  stopRecording = recordCalls()
})
after(async () => {
  stopRecording()
  await telemetry.close()
})

beforeEach(async () => {
  emulator = await startEmulator({
    users: { [OWNER]: { slack: { accessToken: TOKEN }, github: { enabled: false } } },
    groups: { [GROUP]: { slack: { accessToken: GROUP_TOKEN } } },
  })
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey, cache: true })
})
afterEach(async () => {
  await xkit.close()
  await emulator.close()
})

/** The spans of what `work` does, with those that it began around them. */
async function spansOf(work) {
  const { length } = telemetry.spans()
  await work()
  return telemetry.spans().slice(length)
}

const within = (name, work) =>
  trace.getTracer('test').startActiveSpan(name, span => work().finally(() => span.end()))

function shown({ name, kind, status, attributes, events }) {
  return { name, kind, status, attributes, events: events.map(event => event.name) }
}

const attributesOf = (facts, subject) => ({
  'xkit.operation.name': 'getAccessToken',
  'xkit.owner.kind': 'user',
  'xkit.connector.slug': 'slack',
  'xkit.call.outcome': 'active',
  'xkit.call.attempts': 1,
  'xkit.call.cached': false,
  'xkit.call.coalesced': false,
  ...facts,
  ...subject,
})
const UNSET = { code: SpanStatusCode.UNSET }

test('a call is a client span that tells what it was about and how it ended', async () => {
  const spans = await spansOf(async () => {
    await xkit.getAccessToken(OWNER, 'slack')
    await xkit.getAccessToken(OWNER, 'slack')
    await xkit.getGroupAccessToken(GROUP, 'slack')
  })

  const common = { name: 'getAccessToken slack', kind: SpanKind.CLIENT, status: UNSET, events: [] }
  assert.deepEqual(spans.map(shown), [
    { ...common, attributes: attributesOf() },
    { ...common, attributes: attributesOf({ 'xkit.call.attempts': 0, 'xkit.call.cached': true }) },
    {
      ...common,
      name: 'getGroupAccessToken slack',
      attributes: attributesOf({
        'xkit.operation.name': 'getGroupAccessToken',
        'xkit.owner.kind': 'group',
      }),
    },
  ])
})

test('a connection without a token is no error, and a failure is one', async () => {
  const spans = await spansOf(async () => {
    await xkit.getConnection(OWNER, 'github')
    await assert.rejects(xkit.getAccessToken(OWNER, 'github'), { code: 'ERR_XKIT_NOT_ENABLED' })
    emulator.failNext({ status: 403 })
    await assert.rejects(xkit.getAccessToken(OWNER, 'slack'), { code: 'ERR_XKIT_FORBIDDEN' })
  })

  const [connection, unavailable, failure] = spans.map(shown)
  for (const span of [connection, unavailable]) {
    assert.equal(span.attributes['xkit.call.outcome'], 'not_enabled')
    assert.equal('error.type' in span.attributes, false)
    assert.deepEqual(span.status, UNSET)
  }
  assert.equal(failure.attributes['error.type'], 'ERR_XKIT_FORBIDDEN')
  assert.equal(failure.status.code, SpanStatusCode.ERROR)
  assert.match(failure.status.message, /answered 403/)
  assert.deepEqual(failure.events, ['exception'])
})

test('each span has the parent that was active where its call was made', async () => {
  const names = ['GET /a', 'GET /b', 'GET /c']
  const spans = await spansOf(() =>
    Promise.all(
      names.map((name, index) =>
        within(name, () => xkit.getAccessToken(`u${index}`, 'slack').catch(() => {})),
      ),
    ),
  )

  const parents = new Map(spans.map(span => [span.spanContext().spanId, span]))
  const calls = spans.filter(({ name }) => name === 'getAccessToken slack')
  const parentNames = calls.map(span => parents.get(span.parentSpanContext.spanId).name)
  assert.deepEqual(parentNames.sort(), names)
  for (const call of calls) {
    assert.equal(call.spanContext().traceId, parents.get(call.parentSpanContext.spanId).spanContext().traceId)
  }
})

test('the re-fetch after a rejected token is a span of its own under the same parent', async () => {
  const spans = await spansOf(() =>
    within('GET /messages', async () => {
      await xkit.getAccessToken(OWNER, 'slack')
      emulator.revokeToken(OWNER, 'slack')
      const answer = await xkit.fetch(OWNER, 'slack', `${emulator.serviceUrl}/slack/messages`)
      assert.equal(answer.status, 200)
    }),
  )

  const root = spans.at(-1)
  const calls = spans.slice(0, -1)
  assert.deepEqual(
    calls.map(({ attributes }) => attributes['xkit.call.attempts']),
    [1, 0, 1],
  )
  for (const call of calls) assert.equal(call.parentSpanContext.spanId, root.spanContext().spanId)
})

test('metrics count the calls by outcome, time them in seconds, and tell the share of cached ones', async () => {
  recordCacheHits(xkit)
  const pointOf = (metrics, name, attributes) =>
    metrics
      .find(({ descriptor }) => descriptor.name === name)
      ?.dataPoints.find(point =>
        Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
      )
  const outage = { 'xkit.call.outcome': 'ERR_XKIT_SERVER', 'error.type': 'ERR_XKIT_SERVER' }
  assert.equal(pointOf(await telemetry.metrics(), 'xkit.client.calls', outage), undefined)

  emulator.latencyMs = 30
  for (let round = 0; round < 4; round++) await xkit.getAccessToken(OWNER, 'slack')
  emulator.failNext({ times: 6 })
  for (let round = 0; round < 2; round++) {
    await assert.rejects(xkit.getConnection(OWNER, 'github'), { code: 'ERR_XKIT_SERVER' })
  }

  const metrics = await telemetry.metrics()
  assert.equal(pointOf(metrics, 'xkit.client.calls', outage).value, 2)
  const { value } = pointOf(metrics, 'xkit.client.call.duration', outage)
  assert.equal(value.count, 2)
  // Three requests each, 30 ms the least.
  assert.ok(value.min >= 0.09 && value.max < 20, `${value.min} to ${value.max} s`)
  assert.deepEqual(value.buckets.boundaries.at(-1), 20)
  assert.equal(pointOf(metrics, 'xkit.client.cache.hit_ratio', {}).value, 3 / 6)
  const units = Object.fromEntries(metrics.map(({ descriptor: { name, unit } }) => [name, unit]))
  assert.deepEqual(units, {
    'xkit.client.call.duration': 's',
    'xkit.client.calls': '{call}',
    'xkit.client.cache.hit_ratio': '1',
  })
})

test('neither spans nor metrics hold an id of an owner, a key or a token', async () => {
  const spans = telemetry
    .spans()
    .map(({ name, attributes, status, events }) => ({ name, attributes, status, events }))
  const recorded = JSON.stringify([spans, await telemetry.metrics()])

  assert.ok(spans.length > 10)
  for (const secret of [OWNER, GROUP, TOKEN, GROUP_TOKEN, emulator.publishableKey, emulator.secretKey]) {
    assert.equal(recorded.includes(secret), false)
  }
})

test('nothing is recorded any more once the recording has ended', async () => {
  stopRecording()
  assert.deepEqual(await spansOf(() => xkit.getAccessToken(OWNER, 'slack')), [])
})

test('the show prints spans and metrics', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [path.join(__dirname, 'show.js')])

  assert.equal(stderr, '')
  assert.match(
    stdout,
    /^GET \/repositories \(token rejected\)\n {2}getAccessToken github: active, requests: 0\n {2}.*: 1$/m,
  )
  assert.match(stdout, /^xkit\.client\.calls \(ERR_XKIT_SERVER, asked\): 1\.00 \{call\}$/m)
})
