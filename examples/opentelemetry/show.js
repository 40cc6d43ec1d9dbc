// Shows the spans and the metrics of a few calls, against the emulator: `npm start`.
'use strict'

const { trace } = require('@opentelemetry/api')
// In a project of its own: 'xkit-node' and 'xkit-node/emulator'.
const { XkitClient } = require('../..')
const { startEmulator } = require('../../emulator')
const { recordCacheHits, recordCalls } = require('./instrumentation.js')
const { startTelemetry } = require('./telemetry.js')

/** Runs `work` in a span, as a framework's instrumentation does with a request. */
function within(name, work) {
  return trace.getTracer('show').startActiveSpan(name, async span => {
    try {
      return await work()
    } finally {
      span.end()
    }
  })
}

async function main() {
  const telemetry = startTelemetry()
  const stopRecording = recordCalls()
  const emulator = await startEmulator({ users: { u1: { github: {} }, u2: { github: { enabled: false } } } })
  const { baseUrl, publishableKey, secretKey } = emulator
  const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, cache: true })
  recordCacheHits(xkit)
  const repositories = user => xkit.fetch(user, 'github', `${emulator.serviceUrl}/github/user/repos`)

  await within('GET /repositories', () => repositories('u1'))
  await within('GET /repositories (cached)', () => repositories('u1'))
  emulator.rotateToken('u1', 'github')
  await within('GET /repositories (token rejected)', () => repositories('u1'))
  await within('GET /status', () => xkit.getConnection('u2', 'github'))
  emulator.failNext({ times: 3 })
  await within('GET /status (outage)', () => xkit.getConnection('u2', 'github').catch(() => {}))

  print(telemetry.spans(), await telemetry.metrics())
  stopRecording()
  await xkit.close()
  await emulator.close()
  await telemetry.close()
}

function print(spans, metrics) {
  for (const root of spans.filter(span => span.parentSpanContext === undefined)) {
    console.log(root.name)
    for (const span of spans) {
      if (span.parentSpanContext?.spanId !== root.spanContext().spanId) continue
      const { 'xkit.call.outcome': outcome, 'xkit.call.attempts': attempts } = span.attributes
      console.log(`  ${span.name}: ${outcome}, requests: ${attempts}`)
    }
  }
  for (const { descriptor, dataPoints } of metrics) {
    for (const { value, attributes } of dataPoints) {
      const { 'xkit.call.outcome': outcome, 'xkit.call.cached': cached } = attributes
      const which = outcome === undefined ? '' : ` (${outcome}, ${cached ? 'cached' : 'asked'})`
      const shown = typeof value === 'number' ? value : value.sum / value.count
      console.log(`${descriptor.name}${which}: ${shown.toPrecision(3)} ${descriptor.unit}`)
    }
  }
}

main()
