// Turns the failures of xkit-node into answers: to the catalog where a person has to act, else 503.
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpStatus } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import { ConnectionUnavailableError, XkitApiError, XkitError } from 'xkit-node'

@Catch(XkitError)
export class XkitErrorFilter implements ExceptionFilter<XkitError> {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: XkitError, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost
    const response = host.switchToHttp().getResponse()
    const body = { error: error.code }
    // A pending connection is retryable: it settles by itself.
    if (error instanceof ConnectionUnavailableError && !error.retryable) {
      if (error.connectUrl) httpAdapter.redirect(response, HttpStatus.SEE_OTHER, error.connectUrl)
      else httpAdapter.reply(response, body, HttpStatus.CONFLICT)
      return
    }
    // Not the status that the platform gave: that one is about the keys of this app, not about its user.
    if (error instanceof XkitApiError && error.retryAfterMs !== undefined) {
      httpAdapter.setHeader(response, 'Retry-After', String(Math.ceil(error.retryAfterMs / 1000)))
    }
    httpAdapter.reply(response, body, HttpStatus.SERVICE_UNAVAILABLE)
  }
}
