// Owns the emulator's public object: reads the arguments, puts the parts together and starts them.
'use strict'

const { API_PREFIX, createApi, isApiPath } = require('./api.js')
const { createCatalog } = require('./catalog.js')
const { requireId, requireOwner } = require('../lib/checks.js')
const { createFaultQueue } = require('./faults.js')
const { createHostCheck } = require('./hosts.js')
const { createLayout } = require('./layout.js')
const {
  readDelay,
  readDelivery,
  readFaultPlan,
  readRevocation,
  readStartOptions,
  readState,
  readWebhookEvent,
  readWebhookUrl,
} = require('./options.js')
const { startServer } = require('./server.js')
const { SERVICE_PREFIX, createService, isServicePath } = require('./service.js')
const { createStore } = require('./store.js')
const { createWebhookSender } = require('./webhook.js')

async function startEmulator(options) {
  const { port, host, allowedHosts, publishableKey, secretKey, seeds, shape, latencyMs, catalogPath } =
    readStartOptions(options)
  const store = createStore(seeds)
  const faults = createFaultQueue()
  const webhooks = createWebhookSender()
  const requests = []
  const serviceRequests = []
  let latency = latencyMs

  const handleApi = createApi({
    store,
    faults,
    keys: { publishableKey, secretKey },
    shape,
    requests,
    latencyMs: () => latency,
  })
  const handleService = createService({ store, requests: serviceRequests })
  const handleCatalog = createCatalog({ store, layout: createLayout(catalogPath) })
  const admit = createHostCheck(allowedHosts)
  const server = await startServer({ port, host }, (request, response) => {
    if (!admit(request, response)) return
    if (isApiPath(request.url)) handleApi(request, response)
    else if (isServicePath(request.url)) handleService(request, response)
    else handleCatalog(request, response)
  })

  const emulator = {
    baseUrl: server.origin + API_PREFIX,
    catalogUrl: server.origin + (catalogPath ?? ''),
    serviceUrl: server.origin + SERVICE_PREFIX,
    publishableKey,
    secretKey,
    requests,
    serviceRequests,
    get latencyMs() {
      return latency
    },
    set latencyMs(value) {
      latency = readDelay('latencyMs', value)
    },
    setConnection(owner, slug, state = {}) {
      store.setConnection(requireOwner('owner', owner), requireId('slug', slug), readState('state', state))
    },
    rotateToken(owner, slug) {
      return store.rotateToken(requireOwner('owner', owner), requireId('slug', slug))
    },
    revokeToken(owner, slug, options) {
      store.revokeToken(requireOwner('owner', owner), requireId('slug', slug), readRevocation(options))
    },
    failNext(plan) {
      faults.add(readFaultPlan(plan))
    },
    reset() {
      store.reset()
      faults.clear()
      requests.length = 0
      serviceRequests.length = 0
      latency = latencyMs
    },
    async sendWebhook(url, event, options) {
      return webhooks.deliver(readWebhookUrl(url), readWebhookEvent(event), readDelivery(options))
    },
    async close() {
      webhooks.close()
      await server.close()
    },
  }
  // Node has it since 20.4.
  if (Symbol.asyncDispose) emulator[Symbol.asyncDispose] = emulator.close
  return emulator
}

module.exports = { startEmulator }
