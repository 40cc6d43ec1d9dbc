import { Hono } from 'hono'
import { ConnectionUnavailableError, xkitErrorOf } from 'xkit-node'

export const app = new Hono()

// #region use
app.onError((error, c) => {
  const ours = xkitErrorOf(error)
  if (ours instanceof ConnectionUnavailableError) return c.json({ connectAt: ours.connectUrl }, 409)
  return c.text('Internal Server Error', 500)
})
// #endregion use
