// Owns the proof of the examples with Express and Fastify; the one with NestJS has its own folder.
'use strict'

const { once } = require('node:events')
const { XkitClient } = require('xkit-node')
const { testExample } = require('../support/example.js')

/** How each framework begins to listen on a free port; gives the server and what ends it. */
const FRAMEWORKS = {
  express: async app => {
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { server, close: () => new Promise(resolve => server.close(resolve)) }
  },
  fastify: async app => {
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { server: app.server, close: () => app.close() }
  },
}

describe.each(Object.keys(FRAMEWORKS))('the example with %s', name => {
  const { createApp } = require(`../../examples/${name}.js`)

  const { post } = testExample(async ({ emulator, catalogUrl, webhookSecret, githubUrl }) => {
    const { baseUrl, publishableKey, secretKey } = emulator
    const xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey, cache: true })
    const userOf = request => request.headers['x-test-user']
    const { server, close } = await FRAMEWORKS[name](createApp({ xkit, webhookSecret, userOf, githubUrl }))
    return {
      origin: `http://127.0.0.1:${server.address().port}`,
      async close() {
        server.closeAllConnections()
        await close()
        await xkit.close()
      },
    }
  })

  test.each([[undefined], ['']])(
    'does not start where the secret is %p, as an unset variable leaves it',
    async webhookSecret => {
      const start = async () => {
        const { close } = await FRAMEWORKS[name](
          createApp({ xkit: undefined, webhookSecret, userOf: () => undefined }),
        )
        await close()
      }
      await expect(start()).rejects.toThrow('secret must be set')
    },
  )

  test('takes no more than 64 kB, and reads nothing without the secret', async () => {
    const large = JSON.stringify('x'.repeat(70_000))
    expect((await post(large)).status).toBe(413)
    expect((await post(large, 'wrong')).status).toBe(404)
  })
})
