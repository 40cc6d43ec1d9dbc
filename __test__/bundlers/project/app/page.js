// Prerendered while it is built: shows where a connector's page is.
import { XkitClient } from 'xkit-node'

const xkit = new XkitClient({ catalogUrl: 'https://catalog.example' })

export default function Page() {
  return <a href={xkit.connectorUrl('slack')}>Connect</a>
}
