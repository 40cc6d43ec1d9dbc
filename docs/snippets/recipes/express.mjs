import express from 'express'
import { ConnectionUnavailableError, xkitErrorOf } from 'xkit-node'

export const app = express()

export function finish() {
  // #region use
  app.use((error, _request, response, next) => {
    const ours = xkitErrorOf(error)
    if (!(ours instanceof ConnectionUnavailableError)) return next(error)
    response.status(409).json({ connectAt: ours.connectUrl })
  })
  // #endregion use
}
