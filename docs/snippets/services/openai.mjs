import { OpenAI } from 'openai'
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ cache: true })

// #region use
export const openai = userId =>
  new OpenAI({
    apiKey: 'by xkit',
    baseURL: 'https://api.example.com',
    fetch: xkit.for(userId, 'example').fetch,
    maxRetries: 0,
  })
// #endregion use
