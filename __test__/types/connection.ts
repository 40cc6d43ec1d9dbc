// Owns what the compiler knows of a connection once its `status` has been looked at.

import type { ActiveConnection, Connection, ConnectionDetails, UnavailableConnection } from 'xkit-node'
import { exactly } from './exactly.js'

export function byStatus(connection: Connection) {
  exactly<string | undefined>()(connection.accessToken)
  exactly<string | undefined>()(connection.connectUrl)
  if (connection.status === 'active') {
    exactly<ActiveConnection>()(connection)
    exactly<string>()(connection.accessToken)
    exactly<Date | undefined>()(connection.expiresAt)
    exactly<undefined>()(connection.connectUrl)
  } else {
    exactly<UnavailableConnection>()(connection)
    exactly<undefined>()(connection.accessToken)
    exactly<string | undefined>()(connection.connectUrl)
    exactly<string | undefined>()(connection.errorCode)
    exactly<string | undefined>()(connection.errorMessage)
  }
}

export function byTheTokenItself({ accessToken }: Connection) {
  if (accessToken) exactly<string>()(accessToken)
}

export function everyStatus(connection: Connection): string {
  switch (connection.status) {
    case 'active':
      return connection.accessToken
    case 'not_provisioned':
    case 'not_enabled':
    case 'pending':
    case 'needs_reauthorization':
      return connection.connectUrl ?? ''
    default:
      // A status that this file does not know would not be assignable.
      return connection satisfies never
  }
}

export function details(connection: Connection) {
  exactly<Required<ConnectionDetails>>()({
    slug: connection.slug ?? '',
    connectionId: connection.connectionId ?? '',
    connectorName: connection.connectorName ?? '',
    authorizationId: connection.authorizationId ?? '',
    authorizationStatus: connection.authorizationStatus ?? '',
    displayLabel: connection.displayLabel ?? '',
  })
}

export function passedOn(connection: ActiveConnection): Connection {
  return { ...connection, accessToken: connection.accessToken }
}
