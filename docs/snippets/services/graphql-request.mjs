import { GraphQLClient } from 'graphql-request'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const graphql = userId =>
  new GraphQLClient('https://api.example.com/graphql', { fetch: xkit.for(userId, 'example').fetch })
// #endregion use
