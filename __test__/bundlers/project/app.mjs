// The same as app.js, as a module.
import { getAccessToken } from 'xkit-node'

console.log(await getAccessToken('u1', 'slack'))
