// Owns the catalog's paths: the hosted catalog's, or those of an application that hosts the catalog itself.
'use strict'

const { invalidValue, requireText } = require('../lib/checks.js')
const { isApiPath } = require('./api.js')
const { isServicePath } = require('./service.js')

/** The hosted catalog's. */
const DEFAULT_TEMPLATE = '/connectors/{slug}'
const PLACE = '{slug}'

/** `{ path, query, fragment }` of a template. The slug's place is a whole segment, a whole value, or in the fragment. */
function parts(template) {
  const [, path, query, fragment] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(template)
  return { path, query: new URLSearchParams(query), fragment: fragment ?? '' }
}

function readCatalogPath(name, template) {
  requireText(name, template)
  const sample = template.replace(PLACE, 'slug')
  const { path, query, fragment } = parts(template)
  const places = [...path.split('/'), ...query.values()].filter(part => part === PLACE).length
  const isWhole = places === 1 || fragment.includes(PLACE)
  if (!isWhole || /[{}]/.test(sample) || !isPath(sample) || isApiPath(sample) || isServicePath(sample)) {
    throw invalidValue(
      `${name} must be a path of the catalog's own that holds {slug} once, as a segment, as a value of the query or in the fragment, such as /integrations/{slug}`,
    )
  }
  return template
}

/** Whether a browser would request exactly this path, on any host. */
function isPath(text) {
  try {
    return new URL(text, 'http://host').href === `http://host${text}`
  } catch {
    return false
  }
}

/** Maps a slug to its page's path and back, as the server sees it: browsers send no fragment. */
function createLayout(template = DEFAULT_TEMPLATE) {
  const { path, query, fragment } = parts(template)
  if (fragment.includes(PLACE)) return { ...createLayout(), isFirstPage: asked => asked === path }
  const field = [...query.keys()].find(key => query.get(key) === PLACE)
  const [before, after] = path.split(PLACE)

  /** `more` holds the pairs of the page's own query. */
  function pathOf(slug, more) {
    const whole = new URLSearchParams([...query, ...more])
    if (field !== undefined) whole.set(field, slug)
    const search = whole.size > 0 ? `?${whole}` : ''
    return `${path.replace(PLACE, () => encodeURIComponent(slug))}${search}`
  }

  /** The percent-encoded slug of a URL, or undefined if the page belongs to no connector. */
  function slugAt(asked, askedQuery) {
    if (field !== undefined) {
      const slug = asked === path ? askedQuery.get(field) : null
      return slug === null ? undefined : encodeURIComponent(slug)
    }
    const isThere = asked.startsWith(before) && asked.endsWith(after)
    const slug = isThere ? asked.slice(before.length, asked.length - after.length) : ''
    return slug === '' || slug.includes('/') ? undefined : slug
  }

  return { pathOf, slugAt, isFirstPage: () => false }
}

module.exports = { createLayout, readCatalogPath }
