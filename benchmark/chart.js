// Owns chart.svg: three sets of bars that compare the contenders with the example that the platform documents.
'use strict'

const WIDTH = 760
const MARGIN = 24
const LABEL = 96
const VALUE = 150
const BAR = 18
const STEP = 26
const PANEL_HEAD = 46
const REFERENCE = 'axios'

const NAMES = {
  'xkit-node': 'xkit-node',
  undici: 'undici pool',
  fetch: 'global fetch',
  axios: 'axios example',
}

const PANELS = [
  {
    title: 'Tokens per second, relative to the documented axios example',
    hint: 'longer is better: 50 calls at once over HTTP/1.1',
    from: ['throughput', 'http1', 'tokensPerSecond'],
    show: value => `${value.toFixed(1)} ×`,
    against: value => Math.floor(value * 10) / 10,
  },
  {
    title: 'Main-thread CPU per token',
    hint: 'shorter is better: the time that your own code has to wait',
    from: ['throughput', 'http1', 'mainThreadMicroseconds'],
    show: percentage,
    against: value => Math.ceil(value * 1000) / 1000,
  },
  {
    title: 'From require to the first token over TLS',
    hint: 'shorter is better: a fresh process each',
    from: ['cold-start', 'tls', 'milliseconds'],
    show: percentage,
    against: value => Math.ceil(value * 1000) / 1000,
  },
]

// The drawing brings its own ground, so it can be read on any page; which one is the reader's system's choice.
const STYLE = `
    text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
    .ground { fill: #ffffff; stroke: #d1d9e0 }
    .title { font-weight: 600; font-size: 14px }
    .hint { fill: #59636e; font-size: 12px }
    .own { font-weight: 600 }
    .bar { fill: #8c959f }
    .bar.own { fill: #1f6feb }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .ground { fill: #0d1117; stroke: #3d444d }
      .hint { fill: #9198a1 }
      .bar { fill: #6e7681 }
      .bar.own { fill: #4493f8 }
    }`

function drawChart(results) {
  const parts = []
  let y = MARGIN
  for (const panel of PANELS) {
    const bars = barsOf(results, panel)
    parts.push(drawPanel(panel, bars, y))
    y += PANEL_HEAD + bars.length * STEP + MARGIN
  }
  parts.push(text(MARGIN, y, 'hint', 'Ratios of one interleaved run: see benchmark/results.md'))
  const height = y + MARGIN
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
  <title>${escaped(describe(results))}</title>
  <style>${STYLE}
  </style>
  <rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
${parts.join('\n')}
</svg>
`
}

/** This package's own figures are rounded against it. */
function barsOf(results, { from: [measurement, transport, field], against }) {
  return Object.keys(NAMES).flatMap(name => {
    const ratio = results.ratio(measurement, transport, field, name, REFERENCE)
    return ratio === undefined
      ? []
      : [{ name, value: name === 'xkit-node' ? against(ratio.median) : ratio.median }]
  })
}

function drawPanel({ title, hint, show }, bars, top) {
  const longest = Math.max(...bars.map(({ value }) => value))
  const room = WIDTH - 2 * MARGIN - LABEL - VALUE
  const lines = [text(MARGIN, top + 14, 'title', title), text(MARGIN, top + 31, 'hint', hint)]
  bars.forEach(({ name, value }, index) => {
    const y = top + PANEL_HEAD + index * STEP
    const own = name === 'xkit-node' ? ' own' : ''
    // A bar that could not be seen would look like a missing one.
    const width = Math.max(1, (value / longest) * room).toFixed(1)
    lines.push(
      text(MARGIN, y + 13, `name${own}`, NAMES[name]),
      `  <rect class="bar${own}" x="${MARGIN + LABEL}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
      text(MARGIN + LABEL + Number(width) + 8, y + 13, `value${own}`, show(value)),
    )
  })
  return lines.join('\n')
}

/** The chart in words, for those who do not see it. */
function describe(results) {
  return PANELS.map(panel => {
    const bars = barsOf(results, panel).map(({ name, value }) => `${NAMES[name]} ${panel.show(value)}`)
    return `${panel.title}: ${bars.join(', ')}.`
  }).join(' ')
}

function percentage(value) {
  return `${(value * 100).toFixed(1)} %`
}

const text = (x, y, className, content) =>
  `  <text class="${className}" x="${x}" y="${y}">${escaped(content)}</text>`

const escaped = content => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

module.exports = { drawChart }
