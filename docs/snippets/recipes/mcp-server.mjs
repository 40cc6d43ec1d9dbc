import { randomUUID } from 'node:crypto'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js'
import { ConnectionUnavailableError, XkitClient, xkitErrorOf } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export function serverFor(userId) {
  const server = new McpServer({ name: 'acme', version: '1.0.0' })
  server.registerTool('issues', { description: 'Lists the open issues' }, async () => {
    try {
      const response = await xkit.fetch(userId, 'github', 'https://api.github.com/issues')
      return { content: [{ type: 'text', text: await response.text() }] }
    } catch (error) {
      if (!(xkitErrorOf(error) instanceof ConnectionUnavailableError)) throw error
      // A page of yours, behind your sign-in, that redirects to `connectUrl`: so nobody connects for somebody else.
      const url = 'https://acme.example/connect/github'
      throw new UrlElicitationRequiredError([
        { mode: 'url', message: 'Connect GitHub', url, elicitationId: randomUUID() },
      ])
    }
  })
  return server
}
// #endregion use
