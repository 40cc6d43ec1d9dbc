// Owns a registry on the loopback that knows what this test publishes, and nothing else.

const { spawn } = require('node:child_process')
const { createServer } = require('node:net')
const { writeFileSync } = require('node:fs')
const path = require('node:path')
const { INSTALL_ENV, run, temporaryFolder } = require('../support/packed.js')

const NPM = path.join(__dirname, 'node_modules', 'npm-11', 'bin', 'npm-cli.js')
const VERDACCIO = path.join(__dirname, 'node_modules', 'verdaccio', 'bin', 'verdaccio')
const LIMIT_MS = 60_000

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

const config = folder => `
storage: ${folder}
packages: { '**': { access: $all, publish: $all } }
max_body_size: 50mb
web: { enable: false }
log: { type: stdout, format: json, level: http }
`

/** Resolves when it takes requests; `requests()` are the paths so far. */
async function startRegistry() {
  const folder = temporaryFolder()
  const file = path.join(folder, 'config.yaml')
  writeFileSync(file, config(folder))
  const port = await freePort()
  const listen = `http://127.0.0.1:${port}/`
  const args = [VERDACCIO, '--config', file, '--listen', `127.0.0.1:${port}`]
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: INSTALL_ENV,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.once('exit', () => child.kill('SIGKILL'))
  let log = ''
  await new Promise((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the registry ended with ${code}:\n${log}`)))
    child.stdout.setEncoding('utf8').on('data', text => {
      log += text
      if (log.includes('http address')) resolve()
    })
  })
  return { url: listen, publish: (tarball, tag) => publish(listen, tarball, tag), close: () => child.kill() }
}

/** As the release's workflow does, but for the provenance, which needs that workflow. */
async function publish(url, tarball, tag) {
  const folder = temporaryFolder()
  // npm wants a token, whatever the registry does with it.
  writeFileSync(
    path.join(folder, '.npmrc'),
    `registry=${url}\n${url.slice('http:'.length)}:_authToken=none\n`,
  )
  const args = [NPM, 'publish', tarball, '--access', 'public', '--tag', tag]
  const { problem, output } = await run(process.execPath, args, {
    cwd: folder,
    limitMs: LIMIT_MS,
    env: INSTALL_ENV,
  })
  if (problem !== undefined) throw new Error(`npm publish ${problem}\n${output}`)
}

module.exports = { startRegistry }
