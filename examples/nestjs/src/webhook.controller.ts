// Owns the route for the platform's webhooks. They are not signed: a secret in the URL tells them from anybody's.
import { createHash, timingSafeEqual } from 'node:crypto'
import {
  BadRequestException,
  Body,
  type CanActivate,
  Controller,
  type ExecutionContext,
  HttpCode,
  HttpStatus,
  Inject,
  Injectable,
  NotFoundException,
  Post,
  UseGuards,
} from '@nestjs/common'
import { XkitClient } from 'xkit-node'

/** Make one with `crypto.randomBytes(32).toString('base64url')`. */
export const WEBHOOK_SECRET = Symbol('WEBHOOK_SECRET')

@Injectable()
class WebhookGuard implements CanActivate {
  constructor(@Inject(WEBHOOK_SECRET) private readonly secret: string) {}

  canActivate(context: ExecutionContext): boolean {
    const { params } = context.switchToHttp().getRequest<{ params: { secret: string } }>()
    if (isSame(params.secret, this.secret)) return true
    throw new NotFoundException()
  }
}

@Controller('webhooks/xkit')
@UseGuards(WebhookGuard)
export class WebhookController {
  constructor(private readonly xkit: XkitClient) {}

  @Post(':secret')
  @HttpCode(HttpStatus.NO_CONTENT)
  receive(@Body() event: object): void {
    try {
      this.xkit.handleWebhook(event)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      throw new BadRequestException(error.message)
    }
  }
}

/** Takes the same time for every guess. Digests, since only texts of one length can be compared in this way. */
function isSame(guess: string, secret: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(guess), digest(secret))
}
