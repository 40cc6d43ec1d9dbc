// Turns the calls of xkit-node into OpenTelemetry spans and metrics. It needs the API alone: copy it next to your set-up.
'use strict'

const { tracingChannel } = require('node:diagnostics_channel')
const { SpanKind, SpanStatusCode, metrics, trace } = require('@opentelemetry/api')

// In seconds: from a cached token to the default limit of a call.
const BOUNDARIES = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20]

/** A span, a duration and a count for each call. Returns what ends the recording. */
function recordCalls() {
  const tracer = trace.getTracer('xkit-node')
  const meter = metrics.getMeter('xkit-node')
  const duration = meter.createHistogram('xkit.client.call.duration', {
    description: 'Duration of calls, with their waits and retries',
    unit: 's',
    advice: { explicitBucketBoundaries: BOUNDARIES },
  })
  const count = meter.createCounter('xkit.client.calls', { description: 'Calls that ended', unit: '{call}' })
  const spans = new WeakMap()
  const handlers = {
    start(call) {
      // Runs where the call is made, so that the span which is active there becomes the parent.
      const name = [call.operation, call.slug].filter(Boolean).join(' ')
      spans.set(call, tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes: subject(call) }))
    },
    error(call) {
      const span = spans.get(call)
      span?.recordException(call.error)
      span?.setStatus({ code: SpanStatusCode.ERROR, message: call.error.message })
    },
    asyncEnd(call) {
      const { attempts, coalesced } = call
      const span = spans.get(call)
      span?.setAttributes({
        ...result(call),
        'xkit.call.attempts': attempts,
        'xkit.call.coalesced': coalesced,
      })
      span?.end()
      const attributes = { ...subject(call), ...result(call) }
      duration.record(call.durationMs / 1000, attributes)
      count.add(1, attributes)
    },
  }
  const channel = tracingChannel('xkit-node:call')
  channel.subscribe(handlers)
  return () => channel.unsubscribe(handlers)
}

/** What a call is about. */
function subject({ operation, ownerKind, slug }) {
  return { 'xkit.operation.name': operation, 'xkit.owner.kind': ownerKind, 'xkit.connector.slug': slug }
}

/** How it ended. `error.type` is for failures: a connection without a token is none. */
function result({ outcome, cached, error }) {
  return {
    'xkit.call.outcome': outcome,
    'xkit.call.cached': cached,
    ...(error === undefined ? {} : { 'error.type': outcome }),
  }
}

/** How many of the calls that may be answered from the cache are. */
function recordCacheHits(xkit) {
  const ratio = metrics.getMeter('xkit-node').createObservableGauge('xkit.client.cache.hit_ratio', {
    description: 'Share of the calls that the cache answered',
    unit: '1',
  })
  ratio.addCallback(observer => {
    const { cacheHits, cacheMisses } = xkit.stats()
    if (cacheHits + cacheMisses > 0) observer.observe(cacheHits / (cacheHits + cacheMisses))
  })
}

module.exports = { recordCacheHits, recordCalls }
