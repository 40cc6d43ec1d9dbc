// Owns the misuses that must not compile. A directive that guards nothing is an error of its own.

import {
  type Connection,
  type ConnectionOwner,
  ConnectionUnavailableError,
  getAccessToken,
  getGroupAccessToken,
  isXkitError,
  XkitApiError,
  XkitClient,
  XkitError,
  XkitNetworkError,
} from 'xkit-node'
import { type Emulator, type Owner, startEmulator } from 'xkit-node/emulator'

export async function slugs(xkit: XkitClient<'slack' | 'github'>, anySlug: string) {
  // @ts-expect-error: the slug is mistyped
  await xkit.getAccessToken('some-user-id', 'slak')
  // @ts-expect-error: the slug is mistyped
  await xkit.getGroupAccessToken('acme', 'Slack')
  // @ts-expect-error: the slug is mistyped
  await xkit.getConnection('some-user-id', 'git-hub')
  // @ts-expect-error: the slug is mistyped
  xkit.connectorUrl('')
  // @ts-expect-error: a string may be any slug
  await xkit.getAccessToken('some-user-id', anySlug)
  // @ts-expect-error: the slug is mistyped
  xkit.for('some-user-id', 'slak')
  // @ts-expect-error: a handle is one connection's, and takes no other owner
  await xkit.for('some-user-id', 'slack').getConnection('another-user-id', 'slack')
  // @ts-expect-error: a slug is a string
  new XkitClient<7>()
}

export async function owners(xkit: XkitClient, maybe: string | undefined) {
  // @ts-expect-error: an owner has one kind
  await xkit.getAccessToken({ user: 'some-user-id', group: 'acme' }, 'slack')
  // @ts-expect-error: an owner has one kind, wherever the object was made
  const two: ConnectionOwner = Object.assign({ group: 'acme' }, { context: 'c1' })
  // @ts-expect-error: an owner has a kind
  await xkit.getAccessToken({}, 'slack')
  // @ts-expect-error: there is no such kind
  await xkit.getAccessToken({ team: 'acme' }, 'slack')
  // @ts-expect-error: an id is a string
  await xkit.getAccessToken({ user: 7 }, 'slack')
  // @ts-expect-error: an id is a string
  await xkit.getAccessToken(7, 'slack')
  // @ts-expect-error: a user who may be missing is no owner
  await getAccessToken(maybe, 'slack')
  // @ts-expect-error: a group who may be missing is no owner
  await getAccessToken({ group: maybe }, 'slack')
  // @ts-expect-error: the group's id is a string, since the name says already that it is a group
  await getGroupAccessToken({ group: 'acme' }, 'slack')
  // @ts-expect-error: the slug is missing
  await getAccessToken('some-user-id')
  return two
}

export function clientOptions() {
  // @ts-expect-error: the option's name is mistyped
  new XkitClient({ baseURL: 'https://app.xkit.co/api/platform' })
  // @ts-expect-error: there is no such option
  new XkitClient({ retries: 2 })
  // @ts-expect-error: limits are numbers
  new XkitClient({ timeoutMs: '20000' })
  // @ts-expect-error: a proxy is a URL or false
  new XkitClient({ proxy: true })
  // @ts-expect-error: a URL is given as a string
  new XkitClient({ baseUrl: new URL('https://app.xkit.co') })
  // @ts-expect-error: plain http is allowed by a boolean
  new XkitClient({ allowHttp: 'true' })
  // @ts-expect-error: certificates are PEM
  new XkitClient({ ca: { pem: '' } })
  // @ts-expect-error: a client has one certificate
  new XkitClient({ cert: ['-----BEGIN CERTIFICATE-----'], key: '' })
  // @ts-expect-error: the key is PEM, not a KeyObject
  new XkitClient({ cert: '', key: { type: 'private' } })
  // @ts-expect-error: there is no path for this kind of owner
  new XkitClient({ paths: { team: '/teams/{id}/{slug}' } })
  // @ts-expect-error: `null` is not the same as leaving an option out
  new XkitClient({ catalogUrl: null })
  // @ts-expect-error: keys are options by name
  new XkitClient('pk', 'sk')
  // @ts-expect-error: a client is made with `new`
  XkitClient()
}

export async function callOptions(xkit: XkitClient, controller: AbortController) {
  // @ts-expect-error: the signal is wanted, not its controller
  await xkit.getAccessToken('some-user-id', 'slack', { signal: controller })
  // @ts-expect-error: limits are numbers
  await xkit.getAccessToken('some-user-id', 'slack', { timeoutMs: '500' })
  // @ts-expect-error: there is no such option
  await xkit.getConnection('some-user-id', 'slack', { timeout: 500 })
  // @ts-expect-error: retries belong to the client
  await getGroupAccessToken('acme', 'slack', { maxRetries: 0 })
}

export function connections(connection: Connection): string {
  // @ts-expect-error: without a look at `status`, there may be no token
  const token: string = connection.accessToken
  // @ts-expect-error: there is no such status
  if (connection.status === 'disabled') return token
  // @ts-expect-error: an active connection has nothing to connect
  if (connection.status === 'active') return connection.connectUrl
  // @ts-expect-error: the catalog may be unknown
  return connection.connectUrl
}

export async function results(xkit: XkitClient) {
  // @ts-expect-error: a token is a string, not a connection
  const { accessToken } = await xkit.getAccessToken('some-user-id', 'slack')
  // @ts-expect-error: without a `catalogUrl` there is no page
  const page: string = xkit.connectorUrl('slack')
  // @ts-expect-error: there is no such counter
  return [accessToken, page, xkit.stats().errors]
}

export function errors(error: unknown, unavailable: ConnectionUnavailableError) {
  // @ts-expect-error: an error is made of a code and a message at least
  new XkitError()
  // @ts-expect-error: an error is made of named fields
  new XkitApiError('ERR_XKIT_SERVER')
  // @ts-expect-error: the code is missing
  new XkitError({ message: 'm' })
  // @ts-expect-error: the code is of another class
  new XkitNetworkError({ message: 'm', code: 'ERR_XKIT_SERVER' })
  // @ts-expect-error: a network error has no HTTP status
  new XkitNetworkError({ message: 'm', code: 'ERR_XKIT_TIMEOUT', status: 503 })
  // @ts-expect-error: the connection is missing
  new ConnectionUnavailableError({ message: 'm', code: 'ERR_XKIT_PENDING' })
  const active = { status: 'active', accessToken: 'x' } as const
  // @ts-expect-error: an active connection is available
  new ConnectionUnavailableError({ message: 'm', code: 'ERR_XKIT_PENDING' }, active)
  // @ts-expect-error: there is no such code
  if (isXkitError(error) && error.code === 'ERR_XKIT_OFFLINE') return
  // @ts-expect-error: the code is of another class than the field
  if (isXkitError(error) && error.code === 'ERR_XKIT_CLOSED') error.retryAfterMs
  // @ts-expect-error: an outage is another class
  if (unavailable.code === 'ERR_XKIT_SERVER') return
  // @ts-expect-error: a base error has no HTTP status
  if (error instanceof XkitError) error.status
  // @ts-expect-error: what is known of an error is for reading
  unavailable.retryable = true
  // @ts-expect-error: the connection of an error holds no token
  const token: string = unavailable.connection.accessToken
  return token
}

export async function tokens(xkit: XkitClient<'slack'>) {
  // @ts-expect-error: a cache is told by its limits
  new XkitClient({ cache: 60_000 })
  // @ts-expect-error: there is no such limit
  new XkitClient({ cache: { maxAge: 60_000 } })
  // @ts-expect-error: the use of a token comes as a function
  await xkit.withAccessToken('some-user-id', 'slack', 'token')
  // @ts-expect-error: a mistyped slug
  await xkit.fetch('some-user-id', 'slakc', 'https://api.example.com')
  // @ts-expect-error: a webhook has a body
  xkit.handleWebhook()
}

export async function emulators(emulator: Emulator) {
  // @ts-expect-error: an owner has one kind
  const two: Owner = { user: 'some-user-id', group: 'acme' }
  // @ts-expect-error: a port is a number
  await startEmulator({ port: '4010' })
  // @ts-expect-error: there is no such option
  await startEmulator({ teams: {} })
  // @ts-expect-error: there is no such status
  emulator.setConnection('some-user-id', 'slack', { status: 'broken' })
  // @ts-expect-error: there is no such fault
  emulator.failNext({ fault: 'explode' })
  // @ts-expect-error: where it listens is not for changing
  emulator.baseUrl = 'http://127.0.0.1:1'
  // @ts-expect-error: a webhook is about a connector
  await emulator.sendWebhook('http://127.0.0.1:1', { type: 'connection.enabled', owner: 'some-user-id' })
  return two
}
