// Owns the uses of the emulator that must compile, next to the client that talks to it.

import { XkitClient } from 'xkit-node'
import {
  type ConnectionSeeds,
  type ConnectionState,
  type Delivery,
  type DeliveryOptions,
  type Emulator,
  type EmulatorOptions,
  type FaultPlan,
  type Owner,
  type RecordedRequest,
  type RevocationOptions,
  startEmulator,
  type WebhookEvent,
} from 'xkit-node/emulator'
import { exactly } from './exactly.js'

export const state: Required<ConnectionState> = {
  enabled: true,
  status: 'active',
  accessToken: 'xoxb',
  errorCode: 'revoked',
  errorMessage: 'The user removed the app',
  expiresIn: 3600,
}

export const seeds: ConnectionSeeds = { 'some-user-id': { slack: {}, github: { enabled: false } }, other: {} }

export const options: Required<EmulatorOptions> = {
  port: 0,
  host: '0.0.0.0',
  allowedHosts: ['xkit'],
  publishableKey: 'pk',
  secretKey: 'sk',
  users: seeds,
  groups: { acme: { slack: state } },
  contexts: {},
  shape: 'nested',
  latencyMs: 5,
  catalogPath: '/integrations/{slug}',
}

/** Fields that are there and `undefined`, as where they are passed on: also under `exactOptionalPropertyTypes`. */
export const passedOn: [ConnectionState, EmulatorOptions, FaultPlan, RevocationOptions, DeliveryOptions] = [
  {
    enabled: undefined,
    status: undefined,
    accessToken: undefined,
    errorCode: undefined,
    errorMessage: undefined,
    expiresIn: undefined,
  },
  {
    port: undefined,
    host: undefined,
    allowedHosts: undefined,
    publishableKey: undefined,
    secretKey: undefined,
    users: undefined,
    groups: undefined,
    contexts: undefined,
    shape: undefined,
    latencyMs: undefined,
    catalogPath: undefined,
  },
  {
    status: undefined,
    retryAfter: undefined,
    fault: undefined,
    times: undefined,
    owner: undefined,
    slug: undefined,
  },
  { keepHandingOut: undefined },
  { attempts: undefined },
]
export const passedEvent: WebhookEvent = { type: 'x', owner: 'u', slug: 'slack', connectionId: undefined }

export const plans: FaultPlan[] = [
  {},
  { status: 429, retryAfter: 2, times: 3 },
  { retryAfter: 'Tue, 14 Nov 2023 22:13:20 GMT' },
  { fault: 'reset' },
  { fault: 'stall' },
  { fault: 'truncate', times: 2 },
  { owner: 'u1' },
  { owner: { group: 'acme' }, slug: 'slack', status: 500 },
]

export const owners: Owner[] = ['some-user-id', { user: 'u' }, { group: 'acme' }, { context: 'c1' }]

export const event: WebhookEvent = {
  type: 'connection.enabled',
  owner: { group: 'acme' },
  slug: 'slack',
  connectionId: 'c1',
}

export async function whatItGives() {
  const emulator = await startEmulator(options)
  exactly<Emulator>()(emulator)
  exactly<RecordedRequest[]>()(emulator.requests)
  for (const { method, path, status } of emulator.requests)
    exactly<string | number>()(method + path || status)
  emulator.setConnection('some-user-id', 'slack')
  emulator.setConnection({ group: 'acme' }, 'slack', { status: 'error' })
  exactly<string>()(emulator.rotateToken('some-user-id', 'slack'))
  emulator.failNext()
  emulator.latencyMs = 10
  exactly<void>()(emulator.reset())
  emulator.revokeToken('some-user-id', 'slack')
  emulator.revokeToken({ group: 'acme' }, 'slack', { keepHandingOut: true })
  exactly<string>()(emulator.serviceUrl)
  exactly<RecordedRequest[]>()(emulator.serviceRequests)
  exactly<Delivery>()(await emulator.sendWebhook('http://127.0.0.1:1/hook', event))
  const { status, attempts } = await emulator.sendWebhook(new URL('http://127.0.0.1:1/hook'), event, {
    attempts: 3,
  })
  exactly<number[]>()([status, attempts])
  await emulator.close()
}

export async function withAClient() {
  await using emulator = await startEmulator()
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  return new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey }).stats()
}
