// Owns the uses of the client that must compile: every function, method, option and kind of owner.

import {
  type CallOptions,
  type ClientStats,
  type CloseOptions,
  type Connection,
  type ConnectionHandle,
  type ConnectionOwner,
  type ConnectionPaths,
  closeDefaultClient,
  getAccessToken,
  getConnection,
  getGroupAccessToken,
  type WaitOptions,
  withAccessToken,
  XkitClient,
  type XkitClientOptions,
  type XkitCredentials,
} from 'xkit-node'
import { exactly } from './exactly.js'

const { signal } = new AbortController()

export async function functions() {
  exactly<string>()(await getAccessToken('some-user-id', 'slack'))
  exactly<string>()(await getAccessToken({ context: 'c1' }, 'slack', { signal, timeoutMs: 500 }))
  exactly<string>()(await getGroupAccessToken('acme', 'slack'))
  exactly<string>()(await getGroupAccessToken('acme', 'slack', { signal }))
  exactly<Connection>()(await getConnection({ group: 'acme' }, 'slack', { fresh: true }))
  exactly<number>()(await withAccessToken('u', 'slack', async accessToken => accessToken.length))
  exactly<Promise<void>>()(closeDefaultClient())
  exactly<Promise<void>>()(closeDefaultClient({ timeoutMs: 0 }))
}

export async function methods(xkit: XkitClient) {
  exactly<string>()(await xkit.getAccessToken('some-user-id', 'slack', { timeoutMs: 500 }))
  exactly<string>()(await xkit.getGroupAccessToken('acme', 'slack', {}))
  exactly<Connection>()(await xkit.getConnection({ group: 'acme' }, 'slack', { signal }))
  exactly<Connection>()(await xkit.waitForConnection('some-user-id', 'slack'))
  const wait: Required<WaitOptions> = { signal, timeoutMs: 60_000 }
  exactly<Connection>()(await xkit.waitForConnection({ context: 'c1' }, 'slack', wait))
  exactly<string | undefined>()(xkit.connectorUrl('slack'))
  exactly<ClientStats>()(xkit.stats())
  exactly<Promise<void>>()(xkit.close())
  const close: Required<CloseOptions> = { timeoutMs: 5000 }
  exactly<Promise<void>>()(xkit.close(close))
  exactly<Promise<void>>()(xkit[Symbol.asyncDispose]())
}

export async function counters(xkit: XkitClient) {
  const {
    calls,
    requests,
    retries,
    coalesced,
    cacheHits,
    cacheMisses,
    failures,
    rejections,
    repairs,
    inFlight,
    queued,
  } = xkit.stats()
  exactly<number[]>()([
    calls,
    requests,
    retries,
    coalesced,
    cacheHits,
    cacheMisses,
    failures,
    rejections,
    repairs,
    inFlight,
    queued,
  ])
}

export async function tokens(xkit: XkitClient<'github'>) {
  exactly<void>()(xkit.invalidate({ group: 'acme' }, 'github', 'rejected-token'))
  exactly<Promise<string>>()(xkit.getAccessToken('u', 'github', { fresh: true, timeoutMs: 100 }))
  exactly<Promise<number>>()(xkit.withAccessToken('u', 'github', accessToken => accessToken.length))
  exactly<Promise<number>>()(
    xkit.withAccessToken('u', 'github', async accessToken => accessToken.length, {
      isRejected: outcome => outcome instanceof Response && outcome.status === 403,
    }),
  )
  exactly<Promise<Response>>()(
    xkit.fetch('u', 'github', new URL('https://api.example.com'), { method: 'PUT' }),
  )
  const { type, ownerId, slug, connectionId } = xkit.handleWebhook(new Uint8Array(2))
  exactly<string[]>()([type, ownerId, slug, connectionId ?? ''])
}

/** As the clients of services declare what they take. */
interface AuthenticationProvider {
  getAccessToken: (options?: { scopes?: string[] }) => Promise<string>
}
type AuthCallback = (auth: { type: 'http'; scheme?: string }) => Promise<string> | string

export async function handles(xkit: XkitClient<'github' | 'slack'>) {
  const github = xkit.for('u', 'github')
  exactly<ConnectionHandle<'github'>>()(github)
  exactly<'github'>()(github.slug)
  exactly<ConnectionOwner>()(github.owner)
  exactly<string>()(await github.getAccessToken({ fresh: true, signal }))
  exactly<Connection>()(await github.getConnection({ timeoutMs: 5 }))
  exactly<Promise<number>>()(github.withAccessToken(async token => token.length, { isRejected: () => true }))
  exactly<void>()(github.invalidate('rejected-token'))
  const plugs: [typeof fetch, AuthenticationProvider, AuthCallback] = [
    github.fetch,
    github,
    github.getAccessToken,
  ]
  return plugs
}

export async function disposedAtTheEndOfItsBlock() {
  await using xkit = new XkitClient()
  return xkit.getAccessToken('some-user-id', 'slack')
}

const keys: XkitCredentials = { publishableKey: 'pk', secretKey: 'sk' }

export const rotating: XkitClientOptions[] = [{ credentials: () => keys }, { credentials: async () => keys }]

export const options: Required<XkitClientOptions> = {
  credentials: () => Promise.resolve(keys),
  publishableKey: 'pk',
  secretKey: 'sk',
  baseUrl: 'https://app.xkit.co/api/platform',
  allowHttp: false,
  http2: false,
  hosts: { github: ['api.github.com'] },
  catalogUrl: 'https://acme.xkit.co',
  paths: { user: '/connections/{id}/{slug}', group: '/g/{id}/{slug}', context: '/c/{id}/{slug}' },
  timeoutMs: 20_000,
  attemptTimeoutMs: 8000,
  connectTimeoutMs: 3100,
  maxConnectionAgeMs: 300_000,
  maxRetries: 2,
  maxConcurrency: 100,
  cache: { ttlMs: 60_000, maxEntries: 10_000 },
  proxy: 'http://proxy.example.com:3128',
  ca: '-----BEGIN CERTIFICATE-----',
  cert: '-----BEGIN CERTIFICATE-----',
  key: new Uint8Array(),
}

export const caches: XkitClientOptions[] = [{ cache: true }, { cache: false }, { cache: {} }]

export const fleets: XkitClientOptions[] = [
  { cache: { redis: 'rediss://redis.internal:6380/2', encryptionKey: 'k'.repeat(32), ttlMs: 60_000 } },
  { cache: { redis: { url: 'redis://redis.internal', keyPrefix: 'app:', commandTimeoutMs: 20 } } },
  { cache: { redis: undefined, encryptionKey: new Uint8Array(32) } },
]
export const isBypassed: boolean | undefined = new XkitClient().stats().fleet?.isBypassed
export const lastError: string | undefined = new XkitClient().stats().fleet?.lastError

export const clients = [
  new XkitClient(),
  new XkitClient({}),
  new XkitClient(options),
  new XkitClient({ proxy: false, ca: new Uint8Array() }),
  new XkitClient({ ca: ['-----BEGIN CERTIFICATE-----', new Uint8Array()] as const }),
  new XkitClient({ cert: undefined, key: undefined }),
  new XkitClient({ baseUrl: undefined, paths: undefined }),
]

export const paths: ConnectionPaths[] = [{}, { group: '/g/{id}/{slug}' }]

export const callOptions: CallOptions[] = [{}, { signal: undefined }, { signal, timeoutMs: 1 }]

export const owners: ConnectionOwner[] = [
  'some-user-id',
  { user: 'some-user-id' },
  { group: 'acme' },
  { context: 'c1' },
  { user: 'some-user-id', group: undefined },
]

export function eitherKindOfOwner(owner: { user: string } | { group: string }): ConnectionOwner {
  return owner
}

export async function onlyTheConnectorsInUse(xkit: XkitClient<'slack' | 'github'>, slug: 'slack' | 'github') {
  await xkit.getAccessToken('some-user-id', 'slack')
  await xkit.getGroupAccessToken('acme', 'github')
  await xkit.getConnection({ user: 'some-user-id' }, slug)
  xkit.connectorUrl(slug)
}

export function anywhereAClientIsTaken(xkit: XkitClient<'slack' | 'github'>): XkitClient {
  return xkit
}
