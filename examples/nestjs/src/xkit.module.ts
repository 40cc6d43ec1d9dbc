// Provides the one XkitClient of the app, made from the environment, and closes it at the end.
import { Global, Module, type OnApplicationShutdown } from '@nestjs/common'
import { XkitClient } from 'xkit-node'

@Global()
@Module({
  providers: [{ provide: XkitClient, useFactory: () => new XkitClient({ cache: true }) }],
  exports: [XkitClient],
})
export class XkitModule implements OnApplicationShutdown {
  constructor(private readonly xkit: XkitClient) {}

  /** `onModuleDestroy` would be too early: the requests under way may still need a token then. */
  async onApplicationShutdown(): Promise<void> {
    await this.xkit.close()
  }
}
