import { ConnectionUnavailableError, XkitApiError, XkitNetworkError } from 'xkit-node'

const outage = { message: 'The platform answered 503', code: 'ERR_XKIT_SERVER', retryable: true, attempts: 3 }
const late = { message: 'Too late', code: 'ERR_XKIT_TIMEOUT', retryable: true, attempts: 1 }
const gone = { message: 'Not connected', code: 'ERR_XKIT_NOT_ENABLED', attempts: 1 }

export const errors = [
  new XkitApiError({ ...outage, status: 503 }),
  new XkitNetworkError(late),
  new ConnectionUnavailableError(gone, { status: 'not_enabled', connectUrl: 'https://acme.xkit.co' }),
]
