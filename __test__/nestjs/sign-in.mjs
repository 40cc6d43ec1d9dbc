// Preloaded into the example with NestJS: stands in for the guard that signs users in, and believes a header.
import { createRequire } from 'node:module'

const { resolve } = createRequire(new URL('../../examples/nestjs/package.json', import.meta.url))
const { NestFactory } = await import(resolve('@nestjs/core'))

const create = NestFactory.create.bind(NestFactory)
NestFactory.create = async module => {
  const app = await create(module)
  return app.use((request, _response, next) => {
    const id = request.headers['x-test-user']
    if (id) request.user = { id }
    next()
  })
}
