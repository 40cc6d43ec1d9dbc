// Owns the steps about settings: keys, addresses, trusted roots. They send nothing.
'use strict'

const { X509Certificate } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { DEFAULT_BASE_URL, construct, withVariable } = require('./environment.js')
const { describe } = require('../output.js')
const { PATH_VARIABLES, nodeRoots, variable } = require('../../lib/environment.js')

const CERTIFICATE = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs
const KEYS = { publishableKey: 'XKIT_PUBLISHABLE_KEY', secretKey: 'XKIT_SECRET_KEY' }

/** Why the client refuses the value of an environment variable, or undefined if it accepts it. */
function refusal(XkitClient, option, name) {
  try {
    construct(XkitClient, option)
    return undefined
  } catch (error) {
    const problem = describe(error)
    return problem.includes(name) ? problem : `${name}: ${problem}`
  }
}

function checkPackage(step, state) {
  const { version } = require('../../package.json')
  const platform = `Node.js ${process.version} on ${process.platform} ${process.arch}`
  try {
    state.XkitClient = require('../../index.js').XkitClient
  } catch (error) {
    // The loader's message says why, and what to do.
    step.fail(`the addon does not load with ${platform}: ${describe(error)}`)
    return
  }
  step.ok(`xkit-node ${version}, ${platform}`)
}

function checkKeys(step, { XkitClient }) {
  for (const [option, name] of Object.entries(KEYS)) {
    // A client notices a missing key at the first call only.
    const problem =
      variable(name) === undefined
        ? `${name} is missing: set it in the environment`
        : refusal(XkitClient, option, name)
    if (problem !== undefined) {
      step.fail(problem)
      continue
    }
    step.ok(`${name} is set in the environment (not shown)`)
    // The client trims one line break too.
    const key = variable(name).replace(/\r?\n$/, '')
    if (/^["']|\s|["']$/.test(key)) {
      step.note(
        `${name} holds a space, or begins or ends with a quotation mark, which is sent as a part of it: check where it is set`,
      )
    }
  }
}

function checkBaseUrl(step, state) {
  const name = 'XKIT_BASE_URL'
  const problem = refusal(state.XkitClient, 'baseUrl', name)
  if (problem !== undefined) {
    step.fail(problem)
    return
  }
  state.url = new URL(variable(name) ?? DEFAULT_BASE_URL)
  step.ok(`${state.url.href} (${variable(name) === undefined ? 'the default' : `from ${name}`})`)
}

const setPaths = () => Object.values(PATH_VARIABLES).filter(name => variable(name) !== undefined)

function checkPaths(step, { XkitClient }) {
  try {
    construct(XkitClient, 'paths')
  } catch (error) {
    step.fail(describe(error))
    return
  }
  for (const name of setPaths()) step.ok(`${variable(name)} (from ${name})`)
}

function checkCatalogUrl(step, { XkitClient, slug }) {
  const name = 'XKIT_CATALOG_URL'
  if (variable(name) === undefined) {
    step.note(
      `${name} is not set: a connection without a token then has no connectUrl, the page where its owner sets it up`,
    )
    return
  }
  const problem = refusal(XkitClient, 'catalogUrl', name)
  if (problem !== undefined) {
    step.fail(problem)
    return
  }
  step.ok(`a user is sent to ${construct(XkitClient, 'catalogUrl').connectorUrl(slug)} (by ${name})`)
}

function checkRoots(step, { url }) {
  if (url.protocol === 'http:') {
    step.skip('plain http needs none')
    return
  }
  const name = 'NODE_EXTRA_CA_CERTS'
  const extraFile = variable(name)
  const trusted = nodeRoots()
  const usesSystem = withVariable(name, undefined, nodeRoots) !== undefined
  const sources = [trusted?.isComplete ? "Node's own" : 'those built into xkit-node']
  if (extraFile !== undefined) sources.push(name)
  if (usesSystem && trusted.isComplete) sources.push("the system's")
  step.ok(`trusted: ${sources.join(', ')}`)
  if (usesSystem && !trusted.isComplete) {
    step.note(
      `Node is told to use the system's roots, but hands them on only from 22.15 on: name them in ${name}`,
    )
  }
  if (extraFile !== undefined) noteUnusable(step, name, extraFile)
  if (variable('NODE_TLS_REJECT_UNAUTHORIZED') === '0') {
    step.note('NODE_TLS_REJECT_UNAUTHORIZED=0 is not honoured: certificates are always checked')
  }
}

function noteUnusable(step, name, file) {
  let pem
  try {
    pem = readFileSync(file, 'latin1')
  } catch (error) {
    step.note(`${name} names a file that cannot be read (${error.code}), so it adds nothing`)
    return
  }
  const certificates = pem.match(CERTIFICATE) ?? []
  if (certificates.length === 0) {
    step.note(`${name} names a file without a PEM certificate, so it adds nothing`)
  } else if (!certificates.every(isCertificate)) {
    step.note(`${name} names a file with a PEM certificate that cannot be read, so that one is not trusted`)
  }
}

function isCertificate(pem) {
  try {
    return Boolean(new X509Certificate(pem))
  } catch {
    return false
  }
}

module.exports = { checkBaseUrl, checkCatalogUrl, checkKeys, checkPackage, checkPaths, checkRoots, setPaths }
