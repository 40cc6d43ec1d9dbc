// Owns reading the arguments of the public functions: own fields only, defaults, and a reason for each refusal.
'use strict'

const { randomBytes } = require('node:crypto')
const { validateHeaderValue } = require('node:http')
const { isIP } = require('node:net')
const checks = require('../lib/checks.js')
const { readAllowedHost, readAllowedHosts } = require('./hosts.js')
const { readCatalogPath } = require('./layout.js')
const { LOOPBACK } = require('./server.js')

const { invalidType, invalidValue, ownFields, requireObject } = checks

const SEED_FIELDS = { users: 'user', groups: 'group', contexts: 'context' }
const START_FIELDS = [
  'port',
  'host',
  'allowedHosts',
  'publishableKey',
  'secretKey',
  ...Object.keys(SEED_FIELDS),
  'shape',
  'latencyMs',
  'catalogPath',
]
const SHAPES = ['flat', 'nested']
const STATUSES = ['active', 'awaiting_callback', 'retrieving_tokens', 'error']
const STATE_FIELDS = ['enabled', 'status', 'accessToken', 'errorCode', 'errorMessage', 'expiresIn']
const FAULTS = ['reset', 'stall', 'truncate']
const DEFAULT_FAULT_STATUS = 503
const MAX_DELIVERY_ATTEMPTS = 10
// A hundred years: far above any real token, and small enough that a date can still hold the end.
const MAX_EXPIRES_IN_SECONDS = 100 * 365 * 86_400

function readDelay(name, value) {
  if (!(checks.requireNumber(name, value) >= 0 && value <= checks.MAX_TIMER_MS)) {
    throw invalidValue(`${name} must be a number of milliseconds from 0 to ${checks.MAX_TIMER_MS}`)
  }
  return value
}

/** A name or an address to listen on. The system decides whether this machine has it. */
function readHost(name, value) {
  checks.requireString(name, value)
  if (!/^[\w.:-]+$/.test(value)) throw invalidValue(`${name} must be an address or a name, without a port`)
  return value
}

/** Random, so that another user of this machine who finds the port gets no token from it. */
function inventKey(prefix) {
  return `${prefix}_emulator_${randomBytes(18).toString('base64url')}`
}

function readKey(name, value) {
  checks.requireString(name, value)
  if (value === '' || /\p{Cc}/u.test(value)) {
    throw invalidValue(`${name} must not be empty or hold control characters`)
  }
  return value
}

function readPublishableKey(value) {
  // Basic authentication ends the user name at the first colon.
  if (readKey('options.publishableKey', value).includes(':')) {
    throw invalidValue('options.publishableKey must not hold a colon')
  }
  return value
}

/** One connection's state with its defaults. `name` is the argument's name in error messages. */
function readState(name, state) {
  const fields = ownFields(name, state, STATE_FIELDS)
  const { enabled = true, status = 'active', accessToken, errorCode, errorMessage, expiresIn } = fields
  checks.requireBoolean(`${name}.enabled`, enabled)
  checks.requireOneOf(`${name}.status`, status, STATUSES)
  for (const field of ['accessToken', 'errorCode', 'errorMessage']) {
    if (field in fields) checks.requireString(`${name}.${field}`, fields[field])
  }
  if (expiresIn !== undefined) {
    checks.requireNumber(`${name}.expiresIn`, expiresIn)
    if (!(expiresIn > 0 && expiresIn <= MAX_EXPIRES_IN_SECONDS)) {
      throw invalidValue(`${name}.expiresIn must be a positive number of seconds, a hundred years at most`)
    }
  }
  return { enabled, status, accessToken, errorCode, errorMessage, expiresIn }
}

function readSeeds(fields) {
  const seeds = []
  for (const [field, kind] of Object.entries(SEED_FIELDS)) {
    if (fields[field] === undefined) continue
    const where = `options.${field}`
    requireObject(where, fields[field])
    for (const [id, slugs] of Object.entries(fields[field])) {
      checks.requireId(`an owner's id in ${where}`, id)
      requireObject(`${where}.<id>`, slugs)
      const connections = Object.entries(slugs).map(([slug, state]) => {
        checks.requireId(`a slug in ${where}.<id>`, slug)
        return { slug, state: readState(`${where}.<id>.${slug}`, state) }
      })
      seeds.push({ owner: { kind, id }, connections })
    }
  }
  return seeds
}

function readStartOptions(options = {}) {
  const fields = ownFields('options', options, START_FIELDS)
  const {
    port = 0,
    host = LOOPBACK,
    allowedHosts = [],
    publishableKey = inventKey('pk'),
    secretKey = inventKey('sk'),
    shape,
    latencyMs = 0,
    catalogPath,
  } = fields
  return {
    port: checks.requireInteger('options.port', port, 0, 65_535),
    host: readHost('options.host', host),
    allowedHosts: [
      ...readAllowedHosts('options.allowedHosts', allowedHosts),
      ...(isIP(host) === 0 ? [readAllowedHost('options.host', host)] : []),
    ],
    publishableKey: readPublishableKey(publishableKey),
    secretKey: readKey('options.secretKey', secretKey),
    shape: shape === undefined ? undefined : checks.requireOneOf('options.shape', shape, SHAPES),
    latencyMs: readDelay('options.latencyMs', latencyMs),
    catalogPath: catalogPath === undefined ? undefined : readCatalogPath('options.catalogPath', catalogPath),
    seeds: readSeeds(fields),
  }
}

function readRetryAfter(retryAfter) {
  if (typeof retryAfter === 'number') {
    return String(checks.requireInteger('plan.retryAfter', retryAfter, 0, Number.MAX_SAFE_INTEGER))
  }
  if (typeof retryAfter !== 'string')
    throw invalidType('plan.retryAfter must be a number of seconds or a string')
  try {
    validateHeaderValue('retry-after', retryAfter)
  } catch {
    throw invalidValue('plan.retryAfter must be text that a header can carry')
  }
  return retryAfter
}

function readFaultPlan(plan = {}) {
  const {
    status,
    fault,
    times = 1,
    retryAfter,
    owner,
    slug,
  } = ownFields('plan', plan, ['status', 'fault', 'times', 'retryAfter', 'owner', 'slug'])
  const common = {
    times: checks.requireInteger('plan.times', times, 1, Number.MAX_SAFE_INTEGER),
    owner: owner === undefined ? undefined : checks.requireOwner('plan.owner', owner),
    slug: slug === undefined ? undefined : checks.requireId('plan.slug', slug),
  }
  if (fault !== undefined) {
    checks.requireOneOf('plan.fault', fault, FAULTS)
    if (status !== undefined || retryAfter !== undefined) {
      throw invalidValue('plan.fault excludes plan.status and plan.retryAfter')
    }
    return { ...common, fault }
  }
  return {
    ...common,
    status: checks.requireInteger('plan.status', status ?? DEFAULT_FAULT_STATUS, 200, 599),
    retryAfter: retryAfter === undefined ? undefined : readRetryAfter(retryAfter),
  }
}

function readWebhookUrl(url) {
  const text = typeof url === 'object' && url !== null ? url.href : url
  checks.requireString('url', text)
  let target
  try {
    target = new URL(text)
  } catch {
    throw invalidValue('url must be an absolute URL')
  }
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw invalidValue('url must begin with http: or https:')
  }
  return target
}

function readWebhookEvent(event) {
  const { type, owner, slug, connectionId } = ownFields('event', event, [
    'type',
    'owner',
    'slug',
    'connectionId',
  ])
  if (checks.requireString('event.type', type) === '') throw invalidValue('event.type must not be empty')
  return {
    type,
    owner: checks.requireOwner('event.owner', owner),
    slug: checks.requireId('event.slug', slug),
    connectionId:
      connectionId === undefined ? undefined : checks.requireId('event.connectionId', connectionId),
  }
}

function readDelivery(options = {}) {
  const { attempts = 1 } = ownFields('options', options, ['attempts'])
  return checks.requireInteger('options.attempts', attempts, 1, MAX_DELIVERY_ATTEMPTS)
}

function readRevocation(options = {}) {
  const { keepHandingOut = false } = ownFields('options', options, ['keepHandingOut'])
  return { keepHandingOut: checks.requireBoolean('options.keepHandingOut', keepHandingOut) }
}

module.exports = {
  readDelay,
  readDelivery,
  readFaultPlan,
  readHost,
  readRevocation,
  readStartOptions,
  readState,
  readWebhookEvent,
  readWebhookUrl,
}
