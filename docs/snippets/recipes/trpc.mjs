import { initTRPC } from '@trpc/server'
import { ConnectionUnavailableError, xkitErrorOf } from 'xkit-node'

// #region use
export const trpc = initTRPC.create({
  errorFormatter({ shape, error }) {
    const ours = xkitErrorOf(error)
    if (!(ours instanceof ConnectionUnavailableError)) return shape
    return { ...shape, data: { ...shape.data, connectAt: ours.connectUrl } }
  },
})
// #endregion use
