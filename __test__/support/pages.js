// Owns the reading of the documentation: its pages, their headings and links, and the files that their fences show.
'use strict'

const { existsSync, readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
const read = file => readFileSync(path.join(ROOT, file), 'utf8')

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(path.join(ROOT, 'docs')).flatMap(name => (name.endsWith('.md') ? `docs/${name}` : [])),
]

const FENCE = /^(?:<!-- snippet: (\S+) -->\n)?```(\w*)\n(.*?)^```$/gms

/** The fences of a page, with the file that the marker above each one names. */
function fencesOf(page) {
  return Array.from(read(page).matchAll(FENCE), ([, file, language, text]) => ({ file, language, text }))
}

/** What a marker names: a file of the repository, or the lines of it between `#region <name>` and `#endregion <name>`. */
function shownBy(marker) {
  const [file, region] = marker.split('#')
  if (!existsSync(path.join(ROOT, file))) return undefined
  if (region === undefined) return read(file)
  const lines = new RegExp(`#region ${region}\n(.*?)^[^\n]*#endregion ${region}$`, 'ms').exec(read(file))?.[1]
  const indent = /^ */.exec(lines ?? '')[0]
  return lines?.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
}

const prose = page => read(page).replaceAll(FENCE, '')

/** The texts of the headings of one level, or of all. */
function headingsOf(page, level = '{1,6}') {
  return Array.from(prose(page).matchAll(new RegExp(`^#${level} (.+)$`, 'gm')), ([, text]) => text)
}

/** As GitHub names the anchor of a heading. */
function anchorOf(heading) {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')
}

/** The links of a page that lead to no file or to no heading of the repository. */
function brokenLinksOf(page) {
  const links = Array.from(prose(page).matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link)
  return links.filter(link => {
    if (/^[a-z]+:/.test(link)) return false
    const [file, anchor] = link.split('#')
    const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
    if (!existsSync(path.join(ROOT, target))) return true
    return anchor !== undefined && !headingsOf(target).map(anchorOf).includes(anchor)
  })
}

/** The rows of the first table below a heading, as arrays of cells. */
function tableBelow(page, heading) {
  const below = read(page).split(`\n${heading}\n`)[1] ?? ''
  const [table] = /^\|.*?(?=\n(?!\|))/ms.exec(below) ?? ['']
  const rows = table.split('\n').slice(2)
  return rows.map(row =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

module.exports = { PAGES, ROOT, brokenLinksOf, fencesOf, headingsOf, prose, read, shownBy, tableBelow }
