import { tracingChannel } from 'node:diagnostics_channel'

// Failed calls and slow ones, one line of JSON each. No field of a trace is secret.
tracingChannel('xkit-node:call').subscribe({
  asyncEnd({ operation, ownerKind, slug, outcome, attempts, durationMs, error }) {
    if (error === undefined && durationMs < 1000) return
    console.log(JSON.stringify({ operation, ownerKind, slug, outcome, attempts, durationMs }))
  },
})
