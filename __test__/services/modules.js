// Owns where the SDKs are installed: beside this file, or in `newest/`, for majors that need a newer Node. With --newest,
// those of that folder are run, alone.

const { readFileSync } = require('node:fs')
const { registerHooks } = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const NEWEST = path.join(__dirname, 'newest')
const isNewest = process.argv.includes('--newest')
const readManifest = folder => JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
const newest = isNewest ? Object.keys(readManifest(NEWEST).dependencies) : []

/** The version of an SDK that is run. */
function versionOf(sdk) {
  if (sdk === 'fetch') return 'Node'
  const folder = newest.includes(sdk) ? NEWEST : __dirname
  return readManifest(path.join(folder, 'node_modules', sdk)).version
}

if (isNewest) {
  const parentURL = pathToFileURL(path.join(NEWEST, 'package.json')).href
  const isOfThese = specifier => newest.some(name => specifier === name || specifier.startsWith(`${name}/`))
  registerHooks({
    resolve(specifier, context, next) {
      // Packages go on finding what they were installed with.
      const isOurs = !context.parentURL?.includes('/node_modules/')
      return next(specifier, isOurs && isOfThese(specifier) ? { ...context, parentURL } : context)
    },
  })
}

module.exports = { isNewest, newest, versionOf }
