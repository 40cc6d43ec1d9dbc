// Owns the proof of what the docs refer to: links lead somewhere, fences show files, lists are complete.
// `docs-snippets.spec.js` runs those files.
'use strict'

const { execFileSync } = require('node:child_process')
const { readdirSync } = require('node:fs')
const path = require('node:path')
const manifest = require('../package.json')
const pages = require('./support/pages.js')

const { PAGES, ROOT, fencesOf, headingsOf, read, tableBelow } = pages
const TYPINGS = read('index.d.ts')

/** The files below a folder, by their paths from the root. */
function filesBelow(folder, suffix) {
  const names = readdirSync(path.join(ROOT, folder), { recursive: true })
  const files = names.filter(name => name.endsWith(suffix))
  return files.map(name => `${folder}/${name.replaceAll(path.sep, '/')}`)
}

const SOURCES = [...filesBelow('lib', '.js'), ...filesBelow('src', '.rs')].filter(
  file => !file.endsWith('/tests.rs'),
)

describe.each(PAGES)('%s', page => {
  test('has links and anchors that lead somewhere', () => {
    expect(pages.brokenLinksOf(page)).toEqual([])
  })

  test('shows files as they are', () => {
    const marked = fencesOf(page).filter(({ file }) => file !== undefined)
    for (const { file, text } of marked) expect([file, text]).toEqual([file, pages.shownBy(file)])
  })

  test('shows nothing else but commands that exist', () => {
    const isCommand = line =>
      line.split(' && ').every(command => {
        const [, script] = /^npm (?:run )?([\w:]+)/.exec(command) ?? []
        return (
          script === 'ci' || script in manifest.scripts || /^npx --no (xkit|-- xkit-emulator) /.test(command)
        )
      })
    const others = fencesOf(page).filter(({ file }) => file === undefined)
    const lines = others.flatMap(({ text }) => text.trimEnd().split('\n'))
    // Code takes a marker above its fence: <!-- snippet: docs/snippets/<file> -->
    expect(lines.filter(line => !isCommand(line))).toEqual([])
  })
})

test('SECURITY.md names every variable by which the environment decides where keys go', () => {
  const sources = ['environment', 'options', 'native'].map(name => read(`lib/${name}.js`)).join('\n')
  const variables = sources.match(/(?<=')(?:XKIT|NODE|SSL|NAPI_RS)_[A-Z0-9_]+(?=')/g)
  const named = read('SECURITY.md')
  // It decides how bytes travel, and not where to.
  const unnamed = new Set(variables.filter(name => !named.includes(`\`${name}\``)))
  expect([...unnamed]).toEqual(['XKIT_HTTP2'])
})

test('nothing tells anybody to run a command that npx might fetch from elsewhere', () => {
  const files = [
    ...PAGES,
    ...SOURCES,
    ...filesBelow('cli', '.js'),
    ...filesBelow('emulator', '.js'),
    'index.d.ts',
  ]
  const forms = files.flatMap(file => read(file).match(/npx [^\n`|"]*?\bxkit(?:-emulator)?\b/g) ?? [])
  expect(forms.length).toBeGreaterThan(10)
  expect([...new Set(forms)].sort()).toEqual(['npx --no -- xkit-emulator', 'npx --no xkit'])
})

test('the commands take the options that the docs give them', () => {
  const lines = PAGES.flatMap(
    page => read(page).match(/(?<=npx --no (?:-- )?)xkit(?:-emulator| token| doctor)[^`\n]*/g) ?? [],
  )
  expect(lines.length).toBeGreaterThan(5)
  for (const line of lines) {
    const [bin, command] = line.split(' ')
    const args = bin === 'xkit' ? [command, '--help'] : ['--help']
    const help = execFileSync(process.execPath, [`bin/${bin}.js`, ...args], { cwd: ROOT, encoding: 'utf8' })
    for (const option of line.match(/--\w+/g) ?? [])
      expect([line, help]).toEqual([line, expect.stringContaining(option)])
  }
})

describe('docs/errors.md', () => {
  const codesOf = text => text.match(/ERR_XKIT_[A-Z_]*[A-Z]/g) ?? []
  /** The first line below the heading of a code. */
  const about = code => read('docs/errors.md').split(`\n### ${code}\n\n`)[1]?.split('\n')[0]

  test('has one heading for each code of the sources, and no other', () => {
    const codes = new Set(['index.d.ts', ...SOURCES].flatMap(file => codesOf(read(file))))
    expect(headingsOf('docs/errors.md', '{3}').sort()).toEqual([...codes].sort())
  })

  test('names the class of each code', () => {
    const types = Array.from(TYPINGS.matchAll(/^export type (Xkit|Connection)(\w+)ErrorCode =(.*?)\n\n/gms))
    const declared = types.filter(([type]) => codesOf(type).length > 0)
    expect(declared).toHaveLength(4)
    for (const [type, prefix, rest] of declared) {
      const name = `${prefix}${rest === 'Client' ? '' : rest}Error`
      for (const code of codesOf(type))
        expect([code, about(code)]).toEqual([code, expect.stringMatching(`^\`${name}\`, `)])
    }
  })

  test('says of what is retryable what the README says', () => {
    const rows = tableBelow('README.md', '## Errors')
    expect(rows).toHaveLength(20)
    for (const [, code, , retryable] of rows) {
      const isNever = /^`\w+`, not retryable\./.test(about(code.replaceAll('`', '')))
      expect([code, isNever]).toEqual([code, retryable === 'no'])
    }
  })
})

test('docs/architecture.md names every module, and no other', () => {
  const named = read('docs/architecture.md').match(/(?<=^\| `)(?:lib|src)\/[\w./-]+(?=` \|)/gm)
  const missing = SOURCES.filter(file => !named.includes(file))
  const gone = named.filter(file => !SOURCES.includes(file))
  expect({ missing, gone }).toEqual({ missing: [], gone: [] })
})
