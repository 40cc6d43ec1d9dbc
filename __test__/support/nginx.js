// A real nginx in front of a platform, so that HTTP/2 is met as that server speaks it.
'use strict'

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const path = require('node:path')
const { setTimeout: delay } = require('node:timers/promises')
const { closedPort, track } = require('./rigs')

const isOpen = port =>
  new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true) || socket.destroy()).on('error', () => resolve(false))
  })

/**
 * nginx with this identity (see certificates.js) and these directives of its `server` block; it passes every request on to the
 * port `to` of this host. `connections()` is how many connections the requests came over that it has answered.
 */
async function startNginx({ identity, to, directives = '' }) {
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-nginx-'))
  const file = name => path.join(folder, name)
  writeFileSync(file('cert.pem'), identity.cert)
  writeFileSync(file('key.pem'), identity.key, { mode: 0o600 })
  const port = await closedPort()
  writeFileSync(
    file('nginx.conf'),
    `daemon off;
master_process off;
pid ${file('pid')};
error_log stderr crit;
events { worker_connections 1024; }
http {
  log_format connection '$connection';
  access_log ${file('access.log')} connection;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${file(kind)};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${file('cert.pem')};
    ssl_certificate_key ${file('key.pem')};
    ${directives}
    location / { proxy_pass http://127.0.0.1:${to}; }
  }
}
`,
  )
  const child = spawn('nginx', ['-p', folder, '-c', file('nginx.conf'), '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let problem = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    problem += text
  })
  const ended = once(child, 'close')
  const close = async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  track({ close })
  while (!(await isOpen(port))) {
    if (child.exitCode !== null) throw new Error(`nginx did not start:\n${problem}`)
    await delay(5)
  }
  const lines = () => readFileSync(file('access.log'), 'utf8').split('\n').filter(Boolean)
  return { port, baseUrl: `https://127.0.0.1:${port}`, connections: () => new Set(lines()).size }
}

module.exports = { startNginx }
