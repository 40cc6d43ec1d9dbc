// Owns the rows: each SDK against each answer of its service, and what the emulator and the service saw of it.

const { readFileSync, readdirSync, writeFileSync } = require('node:fs')
const { register } = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { inspect } = require('node:util')
const { isNewest, newest, versionOf } = require('./modules.js')
const { XkitClient } = require('../..')
const { startEmulator } = require('../../emulator')
const descriptions = require('./descriptions.js')
const { runPlugs } = require('./plugs.js')
const { runRecipes } = require('./recipes.js')
const { startService } = require('./service.js')
const { FOLDER, NAMES, SNIPPETS } = require('./snippets.js')

const PAGE = path.join(__dirname, '..', '..', 'docs', 'services.md')
const END = '\n<!-- end of the table -->'
const beginOf = name => `<!-- ${name}: npm run test:services -->\n`
const isWriting = process.argv.includes('--write')
const words = process.argv.slice(2).filter(argument => !argument.startsWith('--'))
const chosen = words.length > 0 ? words : newest
/** The tables of the page by their names, where all of their rows are run. */
const [TABLE, PLUGS] = isNewest ? ['newest', 'newest plugs'] : ['table', 'plugs']

async function main() {
  const emulator = await startEmulator()
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  // The snippets have clients of their own, as an application has.
  Object.assign(process.env, {
    XKIT_BASE_URL: baseUrl,
    XKIT_CATALOG_URL: catalogUrl,
    XKIT_PUBLISHABLE_KEY: publishableKey,
    XKIT_SECRET_KEY: secretKey,
  })
  register('./resolve.mjs', pathToFileURL(__filename))
  const xkit = new XkitClient({ baseUrl, publishableKey, secretKey, proxy: false })
  const identity = JSON.parse(readFileSync(process.env.SERVICE_IDENTITY, 'utf8'))
  let answers
  const service = await startService(identity, Number(process.env.SERVICE_PORT), request => answers(request))

  /** One use of an SDK whose first token the service answers with `answer`; how it went. */
  async function run(description, name, answer, isDead) {
    const { slug = 'service' } = description
    const owner = `${description.sdk}${description.way ?? ''} ${name}`
    const [first, second] = ['first', 'second'].map(which => `${which}-token-${description.hosts[0]}`)
    emulator.setConnection(owner, slug, { accessToken: first })
    emulator.requests.length = 0
    const seen = []
    answers = request => {
      const shown = JSON.stringify(request.headers)
      const token = [first, second].find(each => shown.includes(each))
      seen.push(token)
      if (token === first) emulator.setConnection(owner, slug, { accessToken: second })
      return token === second ? description.fine : answer
    }
    const use = token => description.call(token, xkit, owner)
    const [outcome] = await Promise.allSettled([
      description.isPlugged ? use() : xkit.withAccessToken(owner, slug, use),
    ])
    const asked = emulator.requests.length
    const facts = { asked, seen, outcome: outcome.status }
    const expected = isDead ? [first, second] : [first]
    const isRight =
      JSON.stringify(seen) === JSON.stringify(expected) &&
      asked === expected.length &&
      (!isDead || outcome.status === 'fulfilled')
    if (isRight) return isDead ? 'repaired' : 'left alone'
    console.error(
      description.sdk,
      name,
      facts,
      inspect(outcome.reason ?? outcome.value, { depth: 2 }).slice(0, 1500),
    )
    return 'WRONG'
  }

  const rows = []
  for (const description of [...descriptions, ...SNIPPETS]) {
    const { sdk, way = '' } = description
    if (chosen.length > 0 && !chosen.includes(sdk)) continue
    for (const [kind, isDead] of [
      ['dead', true],
      ['alive', false],
    ]) {
      for (const [name, answer] of Object.entries(description[kind])) {
        rows.push([`${sdk}${way}`, versionOf(sdk), name, await run(description, name, answer, isDead)])
      }
    }
  }
  const isChosen = sdk => chosen.length === 0 || chosen.includes(sdk)
  const plugs = await runPlugs(emulator, xkit, isChosen)
  const answer = next => {
    answers = next
  }
  const failed = isChosen('recipes') ? await runRecipes({ emulator, xkit, answer }) : []
  await xkit.close()
  await emulator.close()
  service.close()
  return { rows, plugs, failed }
}

/** One line for each SDK and result, with the answers that had it. */
function tableOf(rows) {
  const lines = new Map()
  for (const [sdk, version, answer, result] of rows) {
    const key = `| ${sdk} | ${version} | ${result} |`
    lines.set(key, [...(lines.get(key) ?? []), answer])
  }
  const body = Array.from(lines, ([key, answers]) => {
    const [sdk, version, result] = key
      .split('|')
      .slice(1, 4)
      .map(cell => cell.trim())
    return `| ${sdk} | ${version} | ${answers.join('; ')} | ${result} |`
  })
  return ['| SDK | version | answers | result |', '| --- | --- | --- | --- |', ...body].join('\n')
}

function plugTableOf(rows) {
  const head = [
    'SDK',
    'version',
    'asks',
    'ends',
    'the error is in',
    '`xkitErrorOf`',
    'what stops it from asking again',
  ]
  const line = cells => `| ${cells.join(' | ')} |`
  return [head, head.map(() => '---'), ...rows].map(line).join('\n')
}

/** Whether the page holds the table of this name; puts it there when asked to. */
function isKept(name, table) {
  const page = readFileSync(PAGE, 'utf8')
  const begin = page.indexOf(beginOf(name)) + beginOf(name).length
  const end = page.indexOf(END, begin)
  if (isWriting) writeFileSync(PAGE, page.slice(0, begin) + table + page.slice(end))
  return isWriting || page.slice(begin, end) === table
}

main().then(({ rows, plugs, failed }) => {
  const isSnippet = ([sdk]) => sdk.endsWith('.mjs')
  const table = tableOf(rows.filter(row => !isSnippet(row)))
  console.log(table)
  for (const [sdk, , , result] of rows.filter(isSnippet)) console.log(sdk, result)
  const unproven = readdirSync(FOLDER).filter(file => !NAMES.includes(path.parse(file).name))
  if (unproven.length > 0) throw new Error(`no test runs ${unproven}`)
  const wrong = rows.filter(([, , , result]) => result === 'WRONG')
  console.log(`${rows.length} answers, ${wrong.length} taken wrongly`)
  const plugTable = plugTableOf(plugs.rows)
  console.log(plugTable)
  for (const fault of plugs.faults) console.error('WRONG', ...fault)
  if (wrong.length + plugs.faults.length + failed.length > 0) process.exit(1)
  if (words.length === 0 && ![isKept(TABLE, table), isKept(PLUGS, plugTable)].every(Boolean)) {
    console.error('A table in docs/services.md is another one: node __test__/services/run.js --write')
    process.exit(1)
  }
  // Some SDKs keep connections for longer.
  process.exit(0)
})
