// Owns the words and tables of results.md: the targets and what was reached first, absolute figures after it.
'use strict'

const os = require('node:os')
const path = require('node:path')

const { CONTENDERS, HTTP2_CONTENDERS, GROWTH_FLAGS, RIVALS_IN_LATENCY } = require('./plan.js')
const platform = require('./platform.js')
const { judge } = require('./targets.js')

function writeReport(run) {
  const sections = [
    heading(run),
    targetTable(run),
    throughput(run, 'HTTP/1.1 without TLS', 'http1', CONTENDERS),
    throughput(run, 'HTTP/1.1 over TLS', 'tls', CONTENDERS),
    throughput(run, 'HTTP/2 over TLS', 'h2', HTTP2_CONTENDERS),
    cached(run),
    coldStart(run),
    latency(run),
    connections(run),
    lateness(run),
    memory(run),
    cachedMemory(run),
  ]
  return `${sections.filter(Boolean).join('\n\n')}\n`
}

function heading({ quick, rounds, server, minutes, results }) {
  const [cpu] = os.cpus()
  const release = os.release().split('.').slice(0, 2).join('.')
  const versions = ['undici', 'axios', 'lru-cache'].map(name => `${name} ${versionOf(name)}`).join(', ')
  const quickly = '\n**A quick run, for development only: its figures mean nothing.**\n'
  return `# Results of the benchmark
${quick ? quickly : ''}
Made by \`npm run bench\`; [docs/performance.md](../docs/performance.md) says how each figure is taken. Absolute figures
are noise of one shared machine on one day. What is claimed are the ratios of the first table.

- machine: ${cpu?.model.trim() ?? 'unknown CPU'}, ${os.availableParallelism()} cores, ${gibibytes(os.totalmem())} GiB of memory
- system: ${os.type()} ${release}, Node ${process.versions.node}
- server: ${server.name}, ${server.workers} worker process${server.workers === 1 ? '' : 'es'}, on loopback; every answer holds ${platform.body.length} bytes of JSON
- contenders: ${versions}, global \`fetch\` of this Node (undici ${process.versions.undici ?? 'built in'})
- CPU of the main thread by ${results.any('throughput')?.clock ?? 'no clock: it was not measured'}
- ${rounds} interleaved round${rounds === 1 ? '' : 's'}, ${minutes.toFixed(1)} minutes; a figure is the median of its rounds, a range is the least and the greatest`
}

function targetTable(run) {
  const rows = judge(run).map(({ figure, bound, measured, reached }) => [
    figure,
    bound,
    measured,
    reached === undefined ? '–' : reached ? 'yes' : '**no**',
  ])
  return `## Targets, and what was measured

xkit-node against each rival in the same round; medians of these ratios, rounded against xkit-node.

${table(['figure', 'target', 'measured', 'reached'], rows)}`
}

function throughput({ results, sizes }, title, transport, contenders) {
  const of = (name, field, digits) => show(results.summary('throughput', transport, name, field), digits)
  const against = (name, field) =>
    name === 'xkit-node'
      ? '1'
      : show(results.ratio('throughput', transport, field, name, 'xkit-node'), 3, { range: false })
  const rows = contenders.map(name => [
    name,
    of(name, 'tokensPerSecond', 0),
    of(name, 'mainThreadMicroseconds', 1),
    of(name, 'processMicroseconds', 1),
    against(name, 'tokensPerSecond'),
    against(name, 'mainThreadMicroseconds'),
    against(name, 'processMicroseconds'),
  ])
  const header = ['contender', 'tokens/s', 'main thread, µs/token', 'all threads, µs/token']
  const ratios = ['tokens/s ÷ xkit-node', 'main thread ÷ xkit-node', 'all threads ÷ xkit-node']
  return section(`${title}, ${sizes.throughput.concurrency} calls at once`, '', [...header, ...ratios], rows)
}

function cached({ results }) {
  const of = (name, field) => show(results.summary('cached', 'http1', name, field), 0)
  const rows = [
    ['one key, awaited one after another', 'oneKeyAwaited'],
    ['10,000 keys, awaited one after another', 'manyKeysAwaited'],
    ['one key, the call alone', 'oneKeyCalled'],
    ['10,000 keys, the call alone', 'manyKeysCalled'],
  ].map(([title, field]) => [
    title,
    of('xkit-node', field),
    of('lru-cache', field),
    show(results.ratio('cached', 'http1', field, 'xkit-node', 'lru-cache'), 2),
  ])
  return section('Cached hits, ns', '', ['', 'xkit-node', 'lru-cache', 'xkit-node ÷ lru-cache'], rows)
}

function coldStart({ results, sizes }) {
  const names = ['xkit-node', 'xkit-node, ca', 'undici', 'fetch', 'axios']
  const rows = names.map(name => [
    name === 'xkit-node, ca' ? 'xkit-node, authority by the option `ca`' : name,
    show(results.summary('cold-start', 'tls', name, 'milliseconds'), 1),
  ])
  return section(
    'From `require` to the first token over TLS, ms',
    `${sizes.coldStart.repetitions} fresh processes each. The server's private authority comes by \`NODE_EXTRA_CA_CERTS\`, but where a row says otherwise.`,
    ['contender', 'ms'],
    rows,
  )
}

function latency({ results, sizes }) {
  const rows = [
    ['tls', 'one after another', sizes.latency],
    ['distant', `30 ms off, ${sizes.distance.concurrency} at once`, sizes.distance],
  ].flatMap(([transport, title]) =>
    RIVALS_IN_LATENCY.map(name => {
      const of = (field, digits) => show(results.summary('latency', transport, name, field), digits)
      return [`${title}: ${name}`, of('meanMs', 2), of('p99Ms', 2), of('tokensPerSecond', 0)]
    }),
  )
  return section('One call, over TLS', '', ['contender', 'mean, ms', 'p99, ms', 'tokens/s'], rows)
}

function connections({ results, sizes }) {
  const opened = show(results.summary('connections', 'tls', 'xkit-node', 'connections'), 0)
  const title = `Connections for ${count(sizes.connections.concurrency)} calls in one go, HTTP/1.1 over TLS`
  return section(title, 'At most 100 work at once.', ['contender', 'connections'], [['xkit-node', opened]])
}

function cachedMemory({ results, sizes }) {
  const rows = [
    ['xkit-node', 'xkit-node'],
    ['lru-tokens', 'lru-cache that holds the token strings only'],
  ].map(([name, title]) => [title, show(results.summary('cached-memory', 'http1', name, 'bytesPerEntry'), 0)])
  const title = `A cached token in resident memory, bytes (${count(sizes.cachedMemory.entries)} of them)`
  return section(title, '', ['cache', 'bytes'], rows)
}

function lateness({ results, sizes }) {
  const of = (name, field) => show(results.summary('lateness', 'http1', name, field), 1)
  const fields = ['p50', 'p99', 'greatest', 'burstP50', 'burstP99', 'burstGreatest']
  const rows = CONTENDERS.map(name => [name, ...fields.map(field => of(name, field))])
  const header = ['p50', 'p99', 'greatest', 'burst: p50', 'burst: p99', 'burst: greatest']
  return section(
    `Lateness of a timer while ${count(sizes.lateness.concurrency)} calls run at once, ms`,
    'Steady: a new call follows each that is answered. Burst: all are started in one go.',
    ['contender', ...header],
    rows,
  )
}

function memory({ results, sizes }) {
  const of = (name, field) => results.summary('memory', 'http1', name, field)
  const rows = CONTENDERS.map(name => [
    name,
    megabytes(of(name, 'residentBytes')),
    megabytes(of(name, 'growthBytes')),
  ])
  const calls = count(sizes.memory.callsPerStep)
  return section(
    'Resident memory, MB',
    `After ${calls} calls, 50 at once, and a full collection, with V8's own settings. Growth is the slope over ${count(sizes.memory.furtherSteps)} further
steps, in another process with ${GROWTH_FLAGS.map(flag => `\`${flag}\``).join(' ')}; it is measured for those that are fast enough.`,
    ['contender', `after ${calls} calls`, `growth per further ${calls}`],
    rows,
  )
}

function versionOf(name) {
  // By its path, since not every package exports its package.json.
  return require(path.join(__dirname, 'node_modules', name, 'package.json')).version
}

function show(summary, digits, { range = true } = {}) {
  if (summary === undefined) return '–'
  const { median, least, greatest } = summary
  const text = count(median, digits)
  return range && least !== greatest ? `${text} (${count(least, digits)}–${count(greatest, digits)})` : text
}

const megabytes = summary => (summary === undefined ? '–' : count(summary.median / 1e6, 2))
const gibibytes = bytes => Math.round(bytes / 2 ** 30)
const count = (value, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** Rows that were measured; nothing at all if none was. */
function section(title, words, header, rows) {
  const measured = rows.filter(([, ...cells]) => cells.some(cell => cell !== '–' && cell !== '1'))
  if (measured.length === 0) return ''
  return [`## ${title}`, words, table(header, measured)].filter(Boolean).join('\n\n')
}

function table(header, rows) {
  const line = cells => `| ${cells.join(' | ')} |`
  return [
    line(header),
    line(header.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map(line),
  ].join('\n')
}

module.exports = { writeReport }
