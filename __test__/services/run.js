// Runs the SDKs of services: `npm run test:services`. With --write it also writes the table in docs/services.md, which
// otherwise has to be the one that comes of the run; words that follow choose the SDKs with such names.

const { spawnSync } = require('node:child_process')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { createAuthority } = require('../support/certificates.js')
const descriptions = require('./descriptions.js')

const folder = mkdtempSync(path.join(tmpdir(), 'xkit-services-'))
const authority = createAuthority()
const hosts = new Set(descriptions.flatMap(({ hosts }) => hosts))
writeFileSync(path.join(folder, 'ca.pem'), authority.certificate)
writeFileSync(path.join(folder, 'identity.json'), JSON.stringify(authority.issue({ hosts: [...hosts] })))

const probe = net.createServer().listen(0, '127.0.0.1', () => {
  const { port } = probe.address()
  probe.close(() => {
    const args = [
      '--require',
      path.join(__dirname, 'preload.js'),
      path.join(__dirname, 'table.js'),
      ...process.argv.slice(2),
    ]
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
    const { status } = spawnSync(process.execPath, args, { env, stdio: 'inherit' })
    rmSync(folder, { recursive: true })
    process.exitCode = status ?? 1
  })
})
