// Owns the targets of the package's speed: each figure, its bound, and whether a run reached it.
'use strict'

const MEGABYTE = 1e6

/** Each `measure` answers with a summary: a ratio to the rival, or an amount. */
const TARGETS = [
  target(
    'throughput over TLS, HTTP/1.1, 50 calls at once',
    times(8, 'axios'),
    ratio('throughput', 'tokensPerSecond', 'tls'),
  ),
  target('', times(1.5, 'undici'), ratio('throughput', 'tokensPerSecond', 'tls')),
  target('the same over HTTP/2', times(5, 'undici'), ratio('throughput', 'tokensPerSecond', 'h2')),
  target('the same in clear', times(1.1, 'undici'), ratio('throughput', 'tokensPerSecond')),
  target(
    'main-thread CPU per uncached token, in clear',
    share(30, 'axios'),
    ratio('throughput', 'mainThreadMicroseconds'),
  ),
  target('', share(9, 'undici'), ratio('throughput', 'mainThreadMicroseconds')),
  target('', share(25, 'fetch'), ratio('throughput', 'mainThreadMicroseconds')),
  target('the same over TLS', share(9, 'undici'), ratio('throughput', 'mainThreadMicroseconds', 'tls')),
  target(
    'total CPU per uncached token over TLS',
    factor(0.7, 'undici'),
    ratio('throughput', 'processMicroseconds', 'tls'),
  ),
  target('the same in clear', factor(1, 'undici'), ratio('throughput', 'processMicroseconds')),
  target('one call after another, over TLS', factor(1.1, 'undici'), ratio('latency', 'meanMs', 'tls')),
  target(
    'throughput with 30 ms to the server',
    times(1, 'undici'),
    ratio('latency', 'tokensPerSecond', 'distant'),
  ),
  target('p99 of a call there', factor(1.05, 'undici'), ratio('latency', 'p99Ms', 'distant')),
  target('connections for 10,000 calls in one go', atMost(130), ({ results }) =>
    results.summary('connections', 'tls', 'xkit-node', 'connections'),
  ),
  target('`require` to first token over TLS', share(10, 'fetch'), ratio('cold-start', 'milliseconds', 'tls')),
  target('', share(16, 'axios'), ratio('cold-start', 'milliseconds', 'tls')),
  target('cached hit, the worst of four ways to measure it', factor(0.5, 'lru-cache'), worstCachedRatio),
  target(
    'a cached token in memory, of an lru-cache of strings',
    factor(1.3, 'lru-tokens'),
    ratio('cached-memory', 'bytesPerEntry'),
  ),
  target(
    'lateness of a timer, p99, while 2,000 calls run at once',
    factor(0.8, 'undici'),
    ratio('lateness', 'p99'),
  ),
  target('', share(100, 'fetch'), ratio('lateness', 'p99')),
  target('the same, when they are started in one go', factor(0.8, 'undici'), ratio('lateness', 'burstP99')),
  target('resident memory after 100,000 calls', factor(0.6, 'axios'), ratio('memory', 'residentBytes')),
  target('its growth per further 100,000 calls', megabytes(1), ({ results }) =>
    results.summary('memory', 'http1', 'xkit-node', 'growthBytes'),
  ),
  target('addon, stripped', megabytes(4.5), ({ addonBytes }) => amount(addonBytes)),
]

const CACHED_FIELDS = ['oneKeyAwaited', 'manyKeysAwaited', 'oneKeyCalled', 'manyKeysCalled']

function target(figure, bound, measure) {
  return { figure, bound, measure }
}

/** At least so many times the rival's. */
function times(least, rival) {
  return {
    rival,
    text: `≥ ${least} × ${rival}`,
    reached: value => value >= least,
    show: value => `${down(value, 2)} ×`,
  }
}

/** At most one part in so many of the rival's. */
function share(parts, rival) {
  return {
    rival,
    text: `≤ 1/${parts} of ${rival}`,
    reached: value => value <= 1 / parts,
    show: value => `1/${down(1 / value, 1)}`,
  }
}

/** At most so many times the rival's. */
function factor(most, rival) {
  return {
    rival,
    text: `≤ ${most === 1 ? '' : `${most} × `}${rival}`,
    reached: value => value <= most,
    show: value => `${up(value, 2)} ×`,
  }
}

function atMost(most) {
  return {
    text: `≤ ${most}`,
    reached: value => value <= most,
    show: value => `${Math.ceil(value)}`,
  }
}

function megabytes(most) {
  return {
    text: `≤ ${most} MB`,
    reached: value => value <= most * MEGABYTE,
    show: value => `${up(value / MEGABYTE, 2)} MB`,
  }
}

function ratio(measurement, field, transport = 'http1') {
  return ({ results }, rival) => results.ratio(measurement, transport, field, 'xkit-node', rival)
}

function worstCachedRatio({ results }, rival) {
  const ratios = CACHED_FIELDS.map(field => results.ratio('cached', 'http1', field, 'xkit-node', rival))
  return ratios.filter(Boolean).sort((one, other) => other.median - one.median)[0]
}

const amount = value => value && { median: value, least: value, greatest: value }

// Never rounded in this package's favour.
const down = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits)
const up = (value, digits) => (Math.ceil(value * 10 ** digits) / 10 ** digits).toFixed(digits)

/** One row per target: what was measured, in which range the rounds lay, and whether the median reaches the bound. */
function judge(run) {
  return TARGETS.map(({ figure, bound, measure }) => {
    const measured = measure(run, bound.rival)
    if (measured === undefined)
      return { figure, bound: bound.text, measured: 'not measured', reached: undefined }
    const { median, least, greatest } = measured
    const range = least === greatest ? '' : ` (${bound.show(least)} to ${bound.show(greatest)})`
    return {
      figure,
      bound: bound.text,
      measured: `${bound.show(median)}${range}`,
      reached: bound.reached(median),
    }
  })
}

module.exports = { CACHED_FIELDS, judge }
