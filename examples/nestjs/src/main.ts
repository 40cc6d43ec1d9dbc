// Starts the app. The settings are in the environment: XKIT_PUBLISHABLE_KEY, XKIT_SECRET_KEY, XKIT_CATALOG_URL,
// WEBHOOK_SECRET, HOST and PORT.
import 'reflect-metadata'
import { Logger } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { AppModule } from './app.module.js'

const app = await NestFactory.create(AppModule)
app.enableShutdownHooks()
await app.listen(process.env.PORT ?? 3000, process.env.HOST ?? '0.0.0.0')
Logger.log(`Listening on ${await app.getUrl()}`)
