// Owns what the compiler knows of an error, once it is told apart by class, by code or by `isXkitError`.

import {
  type AnyXkitError,
  ConnectionUnavailableError,
  type ConnectionUnavailableErrorCode,
  isXkitError,
  type UnavailableConnection,
  XkitApiError,
  type XkitApiErrorCode,
  type XkitApiErrorInit,
  type XkitClientError,
  type XkitClientErrorCode,
  XkitError,
  type XkitErrorCode,
  type XkitErrorInit,
  XkitNetworkError,
  type XkitNetworkErrorCode,
  xkitErrorOf,
} from 'xkit-node'
import { exactly } from './exactly.js'

export function byClass(error: unknown) {
  if (error instanceof ConnectionUnavailableError) {
    exactly<'ConnectionUnavailableError'>()(error.name)
    exactly<ConnectionUnavailableErrorCode>()(error.code)
    exactly<UnavailableConnection>()(error.connection)
    exactly<string | undefined>()(error.connectUrl)
  } else if (error instanceof XkitApiError) {
    exactly<'XkitApiError'>()(error.name)
    exactly<XkitApiErrorCode>()(error.code)
    exactly<number | undefined>()(error.status)
    exactly<string | undefined>()(error.requestId)
    exactly<number | undefined>()(error.retryAfterMs)
  } else if (error instanceof XkitNetworkError) {
    exactly<'XkitNetworkError'>()(error.name)
    exactly<XkitNetworkErrorCode>()(error.code)
  } else if (error instanceof XkitError) {
    exactly<XkitErrorCode>()(error.code)
    exactly<boolean>()(error.retryable)
    exactly<number>()(error.attempts)
    exactly<Error>()(error satisfies Error as Error)
  }
}

/** As the tests of code make them that handles them. */
export const made: XkitError[] = [
  new XkitError({ message: 'm', code: 'ERR_XKIT_CLOSED' }),
  new XkitApiError({
    message: 'm',
    code: 'ERR_XKIT_RATE_LIMITED',
    retryable: true,
    attempts: 3,
    status: 429,
    requestId: 'r1',
    retryAfterMs: 1500,
  }),
  new XkitNetworkError({ message: 'm', code: 'ERR_XKIT_TIMEOUT', retryable: true, cause: new Error('c') }),
  new ConnectionUnavailableError({ message: 'm', code: 'ERR_XKIT_NOT_ENABLED' }, { status: 'not_enabled' }),
]

export const init = {
  message: 'm',
  code: 'ERR_XKIT_SERVER',
  retryable: undefined,
  attempts: undefined,
  cause: undefined,
  status: undefined,
  requestId: undefined,
  retryAfterMs: undefined,
} satisfies XkitApiErrorInit & XkitErrorInit

export function byBrand(error: unknown) {
  if (isXkitError(error)) {
    exactly<AnyXkitError>()(error)
    exactly<XkitErrorCode>()(error.code)
    exactly<XkitError>()(error satisfies XkitError as XkitError)
  } else {
    exactly<unknown>()(error)
  }
}

/** The code tells the class, and so the fields. */
export function byItsCode(error: unknown) {
  if (!isXkitError(error)) return
  switch (error.code) {
    case 'ERR_XKIT_RATE_LIMITED':
      exactly<XkitApiError>()(error)
      exactly<number | undefined>()(error.retryAfterMs)
      return
    case 'ERR_XKIT_NEEDS_REAUTHORIZATION':
      exactly<ConnectionUnavailableError>()(error)
      exactly<UnavailableConnection>()(error.connection)
      return
    case 'ERR_XKIT_TIMEOUT':
      exactly<XkitNetworkError>()(error)
      return
    case 'ERR_XKIT_CLOSED':
      exactly<XkitClientError>()(error)
      return
  }
}

export function byHolder(error: unknown) {
  exactly<AnyXkitError | undefined>()(xkitErrorOf(error))
  const found = xkitErrorOf(error)
  return found instanceof ConnectionUnavailableError ? found.connectUrl : found?.code
}

/** Every code belongs to one class: a code that is added to one of them must be added here. */
export function byCode(code: XkitErrorCode): string {
  switch (code) {
    case 'ERR_XKIT_NOT_PROVISIONED':
    case 'ERR_XKIT_NOT_ENABLED':
    case 'ERR_XKIT_PENDING':
    case 'ERR_XKIT_NEEDS_REAUTHORIZATION':
      return exactlyCode<ConnectionUnavailableErrorCode>(code)
    case 'ERR_XKIT_INVALID_API_KEY':
    case 'ERR_XKIT_FORBIDDEN':
    case 'ERR_XKIT_RATE_LIMITED':
    case 'ERR_XKIT_SERVER':
    case 'ERR_XKIT_HTTP':
    case 'ERR_XKIT_REDIRECT':
    case 'ERR_XKIT_INVALID_RESPONSE':
    case 'ERR_XKIT_RESPONSE_TOO_LARGE':
      return exactlyCode<XkitApiErrorCode>(code)
    case 'ERR_XKIT_TIMEOUT':
    case 'ERR_XKIT_CONNECT':
    case 'ERR_XKIT_TLS':
    case 'ERR_XKIT_PROXY':
      return exactlyCode<XkitNetworkErrorCode>(code)
    case 'ERR_XKIT_MISSING_CREDENTIALS':
    case 'ERR_XKIT_OVERLOADED':
    case 'ERR_XKIT_CLOSED':
    case 'ERR_XKIT_INTERNAL':
      return exactlyCode<XkitClientErrorCode>(code)
    default:
      return code satisfies never
  }
}

function exactlyCode<Expected extends XkitErrorCode>(code: Expected) {
  exactly<Expected>()(code)
  return code
}

/** The parameter of `toThrow` in the usual test frameworks. */
type ThrownClass = new (
  // biome-ignore lint/suspicious/noExplicitAny: it is how those frameworks say "any class"
  ...args: any[]
) => unknown

export const expectable: ThrownClass[] = [
  ConnectionUnavailableError,
  XkitApiError,
  XkitNetworkError,
  XkitError,
]
