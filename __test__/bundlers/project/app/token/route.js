// Answers with one token of the platform that the environment names.
import { XkitClient } from 'xkit-node'

// Made while the route is built too, where no keys are.
const xkit = new XkitClient()

export const dynamic = 'force-dynamic'

export async function GET() {
  return new Response(await xkit.getAccessToken('u1', 'slack'))
}
