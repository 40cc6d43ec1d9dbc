// Shows xkit-node in a NestJS app: a webhook route with a secret in its URL, and a page that needs a token.
import { Module } from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { RepositoriesController } from './repositories.controller.js'
import { GITHUB_URL, RepositoriesService } from './repositories.service.js'
import { WEBHOOK_SECRET, WebhookController } from './webhook.controller.js'
import { XkitModule } from './xkit.module.js'
import { XkitErrorFilter } from './xkit-error.filter.js'

@Module({
  imports: [XkitModule],
  controllers: [RepositoriesController, WebhookController],
  providers: [
    RepositoriesService,
    { provide: APP_FILTER, useClass: XkitErrorFilter },
    { provide: GITHUB_URL, useFactory: () => process.env.GITHUB_URL ?? 'https://api.github.com' },
    { provide: WEBHOOK_SECRET, useFactory: () => required('WEBHOOK_SECRET') },
  ],
})
export class AppModule {}

function required(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}
