// Owns what the compiler knows of what the tracing channel publishes.

import { AsyncLocalStorage } from 'node:async_hooks'
import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { CallTrace, Connection, XkitError, XkitErrorCode } from 'xkit-node'
import { exactly } from './exactly.js'

const calls = tracingChannel<unknown, CallTrace>('xkit-node:call')

calls.subscribe({
  start(call) {
    exactly<CallTrace>()(call)
  },
  end() {},
  error({ outcome, error }) {
    if (error !== undefined) exactly<string>()(error.message)
    if (outcome === 'ERR_XKIT_TIMEOUT') exactly<'ERR_XKIT_TIMEOUT'>()(outcome)
  },
  asyncStart() {},
  asyncEnd({ durationMs = 0 }) {
    exactly<number>()(durationMs)
  },
})

channel('tracing:xkit-node:call:asyncEnd').subscribe(message => {
  const { outcome } = message as CallTrace
  exactly<
    | Connection['status']
    | XkitErrorCode
    | 'ERR_INVALID_ARG_TYPE'
    | 'ERR_INVALID_ARG_VALUE'
    | 'aborted'
    | undefined
  >()(outcome)
})

export const spans = new AsyncLocalStorage<{ of: CallTrace }>()
tracingChannel<{ of: CallTrace }, CallTrace>('xkit-node:call').start.bindStore(spans, call => ({ of: call }))

/** Every field: one that is added to the interface must be added here. */
export function fields(call: Required<CallTrace>) {
  exactly<Required<CallTrace>>()({
    operation: call.operation,
    ownerKind: call.ownerKind,
    slug: call.slug,
    outcome: call.outcome,
    attempts: call.attempts,
    cached: call.cached,
    coalesced: call.coalesced,
    isFleetBypassed: call.isFleetBypassed,
    fleetError: call.fleetError,
    rejectedFingerprint: call.rejectedFingerprint,
    tokenFingerprint: call.tokenFingerprint,
    durationMs: call.durationMs,
    error: call.error,
  })
  exactly<'getAccessToken' | 'getGroupAccessToken' | 'getConnection'>()(call.operation)
  exactly<'user' | 'group' | 'context'>()(call.ownerKind)
  exactly<number>()(call.attempts)
  exactly<boolean[]>()([call.cached, call.coalesced, call.isFleetBypassed])
  exactly<string>()(call.fleetError)
  exactly<XkitError | TypeError>()(call.error)
}

export function noMoreThanThat(call: CallTrace): string {
  // @ts-expect-error: the result is a token, which is not published
  call.result
  // @ts-expect-error: neither is the owner's id
  call.ownerId
  // @ts-expect-error: a call has no outcome yet when it starts
  return call.outcome
}
