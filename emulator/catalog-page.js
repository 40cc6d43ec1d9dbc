// Owns the catalog's HTML: no scripts, no outside assets, every value escaped, no token shown.
'use strict'

const { createHash } = require('node:crypto')
const { connectorName } = require('./answers.js')

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6475; --paper: #f5f6f9; --card: #fff; --line: #d9dde6;
  --accent: #2f55d4; --on-accent: #fff; --good: #17693a; --bad: #ad2424; --wait: #855400; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf2; --soft: #a3acbd; --paper: #12151c; --card: #1b202a; --line: #323a49;
    --accent: #93adff; --on-accent: #12151c; --good: #6fd39a; --bad: #ff9a94; --wait: #f0c06a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
header { padding: .6rem 0; background: var(--card); border-bottom: 1px solid var(--line); color: var(--soft); }
header p, main { max-width: 44rem; margin: 0 auto; padding: 0 1.25rem; }
main { padding-block: 1.5rem 3rem; }
strong { color: var(--ink); }
h1 { margin: .25rem 0 1.25rem; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0; font-size: 1.05rem; font-weight: normal; color: var(--soft); }
bdi { font-weight: 600; color: var(--ink); }
a { color: var(--accent); text-underline-offset: .2em; }
code { font-size: .9em; }
h1 code { font-size: .6em; font-weight: normal; color: var(--soft); }
section { margin: 1rem 0; padding: 1rem 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
ul { margin: .5rem 0 0; padding: 0; list-style: none; }
li, .owner { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline;
  justify-content: space-between; }
li { padding: .5rem 0; border-top: 1px solid var(--line); }
li:last-child { padding-bottom: 0; }
p { margin: .5rem 0; }
form { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; margin-top: 1rem; }
button, input { min-width: 0; font: inherit; color: inherit; padding: .4rem 1rem; border: 1px solid var(--soft);
  border-radius: .5rem; background: var(--card); }
button { cursor: pointer; }
button:hover { border-color: var(--accent); color: var(--accent); }
.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
.main:hover { border-color: var(--ink); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
::placeholder { color: var(--soft); opacity: 1; }
[role=status] { margin: .75rem 0 0; padding: .5rem .75rem; background: var(--paper); border-radius: .5rem; }
span::before { content: ''; display: inline-block; width: .6em; height: .6em; margin-right: .45em;
  border-radius: 50%; background: currentColor; }
.soft { color: var(--soft); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.wait { color: var(--wait); }
`

// Even if an id escaped from its place in the markup, no script could run. The hash allows our one style.
const CATALOG_CSP = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  'img-src data:',
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Finished markup, which `html` inserts without escaping. */
class Markup {
  constructor(text) {
    this.text = text
  }
}

function render(value) {
  if (value instanceof Markup) return value.text
  if (Array.isArray(value)) return value.map(render).join('')
  return String(value).replace(/[&<>"']/g, character => ESCAPES[character])
}

/** A template tag that escapes its values, except markup that another such template made. */
function html(strings, ...values) {
  return new Markup(String.raw({ raw: strings }, ...values.map(render)))
}

function page(title, content) {
  const style = new Markup(`<style>${STYLE}</style>`)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Xkit emulator</title>
<link rel="icon" href="data:,">
${style}
</head>
<body>
<header><p><strong>Xkit emulator</strong> · reaches no real service</p></header>
<main>
${content}
</main>
</body>
</html>
`.text
}

/** A connection's state in words, and the tone in which the page shows it. */
function describeState(connection) {
  if (connection === undefined) return { label: 'not set up', tone: 'soft' }
  if (!connection.enabled) return { label: 'not enabled', tone: 'soft' }
  if (connection.status === 'active') return { label: 'active', tone: 'good' }
  if (connection.status === 'error') return { label: 'needs repair', tone: 'bad' }
  return { label: `pending (${connection.status})`, tone: 'wait' }
}

function stateText(connection) {
  const { label, tone } = describeState(connection)
  return html`<span class="${tone}">${label}</span>`
}

function actionsFor(connection) {
  if (!connection?.enabled) return ['enable']
  return connection.status === 'active' ? ['disable', 'break'] : ['repair', 'disable']
}

function homePage(owners) {
  if (owners.length === 0) {
    return page(
      'No owner yet',
      html`<h1>No owner yet</h1>
<section>
<p>The emulator knows no user, group or context, so the API answers 404 for each. Name one:</p>
<p>in code, <code>emulator.setConnection('some-user-id', 'slack')</code> or
<code>startEmulator({ users: { 'some-user-id': {} } })</code>;</p>
<p>on the command line, <code>npx --no -- xkit-emulator --seed seed.json</code> with
<code>{ "users": { "some-user-id": { "slack": {} } } }</code> in the file.</p>
</section>`,
    )
  }
  const sections = owners.map(({ kind, id, connections }) => {
    const items = connections.map(({ slug, path, connection }) => {
      const name = connectorName(slug)
      const label = `${name} ${slug} for ${kind} ${id}`
      return html`<li><a href="${path}" aria-label="${label}">${name} <code>${slug}</code></a> ${stateText(connection)}</li>\n`
    })
    const list =
      items.length > 0 ? html`<ul>\n${items}</ul>` : html`<p class="soft">No connector is set up yet.</p>`
    return html`<section>
<h2>${kind} <bdi>${id}</bdi></h2>
${list}
</section>
`
  })
  return page(
    'Connections',
    html`<h1>Connections</h1>
${sections}<form method="get" action="/connectors">
<label for="slug">Open a connector by its slug</label>
<input id="slug" name="slug" required placeholder="slack" autocomplete="off">
<button type="submit">Open</button>
</form>`,
  )
}

function actionButton(action, what) {
  const look = ['enable', 'repair'].includes(action) ? html` class="main"` : ''
  const label = action[0].toUpperCase() + action.slice(1)
  return html`<button type="submit" name="action" value="${action}"${look} aria-label="${action} ${what}">${label}</button>\n`
}

/** Without a script the page cannot announce a change, so it loads with the focus on this line and screen readers read it. */
function newsOf(slug, { kind, id, connection }) {
  return html`<p role="status" tabindex="-1" autofocus>${connectorName(slug)} for ${kind} <bdi>${id}</bdi>: now ${
    describeState(connection).label
  }</p>\n`
}

function ownerSection(slug, formAction, owner) {
  const { kind, id, connection } = owner
  const problem = [connection?.errorCode, connection?.errorMessage].filter(Boolean).join(': ')
  return html`<section>
<div class="owner"><h2>${kind} <bdi>${id}</bdi></h2> ${stateText(connection)}</div>
${problem ? html`<p class="soft">${problem}</p>\n` : ''}${owner.isChanged ? newsOf(slug, owner) : ''}<form method="post" action="${formAction}">
<input type="hidden" name="kind" value="${kind}">
<input type="hidden" name="id" value="${id}">
${actionsFor(connection).map(action => actionButton(action, `${slug} for ${kind} ${id}`))}</form>
</section>
`
}

/** `narrowed`: the query names owners, so that an empty page means that none of them is known. */
function connectorPage({ slug, owners, narrowed, action }) {
  const name = connectorName(slug)
  const nobody = narrowed
    ? html`<section><p>The emulator knows no such owner. Name it in a seed or with <code>setConnection</code>;
<a href="/">all owners</a>.</p></section>`
    : html`<section><p>There is no owner yet; <a href="/">how to name one</a>.</p></section>`
  const sections = owners.map(owner => ownerSection(slug, action, owner))
  return page(
    name,
    html`<p><a href="/">All connections</a></p>
<h1>${name} <code>${slug}</code></h1>
${sections.length > 0 ? sections : nobody}`,
  )
}

module.exports = { CATALOG_CSP, connectorPage, describeState, homePage }
