import { type Connection, XkitClient } from 'xkit-node'

const xkit = new XkitClient<'slack' | 'github'>()

export async function slack(userId: string): Promise<string> {
  const connection: Connection = await xkit.getConnection(userId, 'slack')
  // The union: there is a token exactly if the status is 'active'.
  return connection.status === 'active' ? connection.accessToken : (connection.connectUrl ?? '/')
}

// @ts-expect-error no connector of ours is called 'slcak'
export const mistyped = (userId: string) => xkit.getAccessToken(userId, 'slcak')
