// Runs the SDKs of services: `npm run test:services`; majors that need Node 22 run on that. With --write it also writes the
// tables in docs/services.md, which otherwise have to be those that come of the run; words that follow choose the SDKs with
// such names.

const { spawnSync } = require('node:child_process')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { createAuthority } = require('../support/certificates.js')
const descriptions = require('./descriptions.js')

const NODE_22 = path.join(__dirname, 'newest', 'node_modules', 'node-22', 'bin', 'node')
const words = process.argv.slice(2)
const folder = mkdtempSync(path.join(tmpdir(), 'xkit-services-'))
const authority = createAuthority()
const hosts = new Set(descriptions.flatMap(({ hosts }) => hosts))
writeFileSync(path.join(folder, 'ca.pem'), authority.certificate)
writeFileSync(path.join(folder, 'identity.json'), JSON.stringify(authority.issue({ hosts: [...hosts] })))

const probe = net.createServer().listen(0, '127.0.0.1', () => {
  const { port } = probe.address()
  probe.close(() => {
    const clean = Object.entries(process.env).filter(
      ([name]) => !/^(XKIT_|(https?|all|no)_proxy$)/i.test(name),
    )
    const env = {
      ...Object.fromEntries(clean),
      NODE_EXTRA_CA_CERTS: path.join(folder, 'ca.pem'),
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: path.join(folder, 'ca.pem'),
      SERVICE_IDENTITY: path.join(folder, 'identity.json'),
      SERVICE_PORT: String(port),
    }
    const runTable = (command, ...more) => {
      const args = ['--require', path.join(__dirname, 'preload.js'), path.join(__dirname, 'table.js')]
      return spawnSync(command, [...args, ...words, ...more], { env, stdio: 'inherit' }).status ?? 1
    }
    process.exitCode = runTable(process.execPath) || runTable(NODE_22, '--newest')
    rmSync(folder, { recursive: true })
  })
})
