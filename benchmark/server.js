// Owns the server that all contenders ask: nginx where it is installed, else the benchmark's own.
'use strict'

const { execFileSync, spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const { createServer, get } = require('node:http')
const https = require('node:https')
const { availableParallelism, tmpdir } = require('node:os')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')

const { createAuthority } = require('../__test__/support/certificates.js')
const { threadTimes } = require('./cpu.js')
const platform = require('./platform.js')

const HOST = '127.0.0.1'
const START_LIMIT_MS = 10_000
/** How far off the distant server is, there and back. */
const DISTANCE_MS = 30
const OWN_CRATE = path.join(__dirname, 'server')
/** Half of the cores at the most, since the contenders need the others. */
const WORKERS = Math.max(1, Math.floor(availableParallelism() / 2))

/**
 * Starts the server, and one that is some way off. `transports` holds a base URL per transport, `ca` the file of the authority
 * to trust, `counts()` how many connections were accepted and requests answered so far, and `stop()` ends them.
 */
async function startServer({ kind = hasNginx() ? 'nginx' : 'own' } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'xkit-benchmark-'))
  const authority = createAuthority()
  const ca = path.join(folder, 'ca.pem')
  const identity = authority.issue({ hosts: [HOST] })
  writeFileSync(ca, authority.certificate)
  writeFileSync(path.join(folder, 'cert.pem'), identity.cert)
  writeFileSync(path.join(folder, 'key.pem'), identity.key, { mode: 0o600 })
  writeFileSync(path.join(folder, 'body.json'), platform.body)

  const [plain, tls, h2, status] = await freePorts(4)
  const ports = { plain, tls, h2, status }
  const child = kind === 'nginx' ? startNginx(folder, ports) : startOwn(folder, ports)
  const output = []
  child.stderr.on('data', chunk => output.push(chunk))
  const distant = await startDistant(folder)

  const stop = async () => {
    process.removeListener('exit', end)
    distant.child.stdin.end()
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }
  const end = () => {
    child.kill('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  }
  // The last resort, for a run that fails or is interrupted.
  process.once('exit', end)

  const counts = async () => {
    const near = await countNear(ports.status)
    return { ...near, requests: near.requests + (await countDistant(distant.port, authority.certificate)) }
  }
  const deadline = Date.now() + START_LIMIT_MS
  for (;;) {
    try {
      await counts()
      break
    } catch {
      if (child.exitCode !== null || Date.now() > deadline) {
        await stop()
        throw new Error(`The server did not start: ${Buffer.concat(output)}`)
      }
      await sleep(20)
    }
  }

  return {
    name: kind === 'nginx' ? `nginx ${nginxVersion()}` : "the benchmark's own server in Rust",
    workers: WORKERS,
    transports: {
      http1: `http://${HOST}:${ports.plain}${platform.basePath}`,
      tls: `https://${HOST}:${ports.tls}${platform.basePath}`,
      h2: `https://${HOST}:${ports.h2}${platform.basePath}`,
      distant: `https://${HOST}:${distant.port}${platform.basePath}`,
    },
    ca,
    counts,
    /** Nanoseconds of CPU that the server has used, where the system tells. */
    cpu: () => [child.pid, ...childrenOf(child.pid)].reduce((sum, pid) => sum + processTime(pid), 0),
    stop,
  }
}

function startNginx(folder, ports) {
  writeFileSync(path.join(folder, 'nginx.conf'), nginxConfiguration(ports))
  return spawn('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

function startOwn(folder, ports) {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(OWN_CRATE, 'target')
  const manifest = path.join(OWN_CRATE, 'Cargo.toml')
  execFileSync('cargo', ['build', '--release', '--locked', '--manifest-path', manifest], { stdio: 'inherit' })
  const program = path.join(target, 'release', 'xkit-node-benchmark-server')
  const listen = [ports.plain, ports.tls, ports.h2, ports.status].map(String)
  return spawn(program, [folder, platform.authorization, String(WORKERS), ...listen], {
    // It ends when its input does, so it cannot outlive the run.
    stdio: ['pipe', 'ignore', 'pipe'],
  })
}

/** The same location three times: what differs is the transport. It answers only who brings the keys. */
function nginxConfiguration(ports) {
  const http2Directive = versionAtLeast(nginxVersion(), [1, 25, 1])
  const location = `
      location ${platform.basePath}/connections/ {
        if ($http_authorization != "${platform.authorization}") { return 401 '{"error":"unauthorized"}'; }
        return 200 '${platform.body}';
      }`
  const tls = `
      ssl_certificate cert.pem;
      ssl_certificate_key key.pem;
      ssl_protocols TLSv1.2 TLSv1.3;`
  return `
  daemon off;
  pid nginx.pid;
  error_log stderr error;
  worker_processes ${WORKERS};
  worker_rlimit_nofile 16384;
  events { worker_connections 8192; }
  http {
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    tcp_nodelay on;
    server {
      listen ${HOST}:${ports.plain} backlog=4096;
      ${location}
    }
    server {
      listen ${HOST}:${ports.tls} ssl backlog=4096;
      ${tls}
      ${location}
    }
    server {
      listen ${HOST}:${ports.h2} ssl ${http2Directive ? '' : 'http2'} backlog=4096;
      ${http2Directive ? 'http2 on;' : ''}
      ${tls}
      ${location}
    }
    server {
      listen ${HOST}:${ports.status};
      location = /requests { stub_status; }
    }
  }
`
}

/** It ends when its input does, so it cannot outlive the run. */
async function startDistant(folder) {
  const args = [path.join(__dirname, 'distant-server.js'), folder, String(DISTANCE_MS)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, port: Number(line) }
}

/** Both servers count in the words of nginx: accepted, handled, requests. The question itself counts too. */
async function countNear(port) {
  const text = await ask(get, { port })
  const [, accepted, requests] = /\n ?(\d+) \d+ (\d+)/.exec(text).map(Number)
  return { accepted: accepted - 1, requests: requests - 1 }
}

async function countDistant(port, ca) {
  return Number(await ask(https.get, { port, ca }))
}

function ask(get, options) {
  return new Promise((resolve, reject) => {
    const request = get({ host: HOST, path: '/requests', agent: false, ...options }, response => {
      const chunks = []
      response.on('data', chunk => chunks.push(chunk))
      response.on('end', () => resolve(String(Buffer.concat(chunks))))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

/** Ports that were free a moment ago: nginx cannot choose one by itself and say which. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer())
  const listening = servers.map(
    server => new Promise(resolve => server.listen(0, HOST, () => resolve(server.address().port))),
  )
  const ports = await Promise.all(listening)
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

function hasNginx() {
  return spawnSync('nginx', ['-v']).status === 0
}

function nginxVersion() {
  return /nginx\/([\d.]+)/.exec(String(spawnSync('nginx', ['-v']).stderr))[1]
}

function versionAtLeast(version, wanted) {
  const parts = version.split('.').map(Number)
  const differs = wanted.findIndex((part, index) => parts[index] !== part)
  return differs === -1 || parts[differs] > wanted[differs]
}

function childrenOf(pid) {
  const { status, stdout } = spawnSync('pgrep', ['-P', String(pid)])
  return status === 0 ? String(stdout).trim().split('\n').map(Number) : []
}

function processTime(pid) {
  return threadTimes(pid).reduce((sum, thread) => sum + thread.nanoseconds, 0)
}

module.exports = { startServer }
