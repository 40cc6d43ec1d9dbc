// Owns the steps on the way to the platform: proxy, DNS, TCP and TLS. The client's own request decides whether it works.
'use strict'

const { execFile } = require('node:child_process')
const net = require('node:net')
const path = require('node:path')
const tls = require('node:tls')
const { networkFailure } = require('./answers.js')
const { construct, withVariable } = require('./environment.js')
const { describe } = require('../output.js')
const { environmentProxy } = require('../../lib/environment.js')

const STEP_MS = 5000
/** Failures before any HTTP. */
const NOT_ABOUT_HTTP = ['ERR_XKIT_TLS', 'ERR_XKIT_PROXY']

async function checkProxy(step, state) {
  const { XkitClient, url } = state
  const proxy = environmentProxy()
  if (proxy === undefined) {
    step.ok('none is set')
    return
  }
  if (url.protocol === 'http:') {
    step.ok(`the one in ${proxy.variable} is not used for a plain http address`)
    return
  }
  if (isExempt(XkitClient, proxy.variable)) {
    step.ok(`NO_PROXY exempts ${url.host} from the one in ${proxy.variable}`)
    return
  }
  // Throws if the proxy's URL is invalid.
  construct(XkitClient, 'baseUrl', 'proxy')
  state.proxy = proxy
  const shown = `${describeProxy(proxy.url)} (from ${proxy.variable})`
  if (!state.canAsk) {
    step.note(`${shown} is to be used; it was not tried, since the client cannot call`)
    return
  }
  const failure = networkFailure(await state.questions.first())
  if (failure) {
    step.fail(`through ${shown}: ${describe(failure)}`)
    await noteHttp1(step, state, failure)
  } else step.ok(`an answer came through ${shown}`)
}

/** A client checks a proxy's URL only if it will use the proxy: if it accepts an invalid one, NO_PROXY exempts the host. */
function isExempt(XkitClient, variable) {
  return withVariable(variable, 'none://proxy', () => {
    try {
      construct(XkitClient, 'baseUrl', 'proxy')
      return true
    } catch {
      return false
    }
  })
}

/** The proxy's URL without user name and password. */
function describeProxy(text) {
  const { protocol, host, username, password } = new URL(text.includes('://') ? text : `http://${text}`)
  const access = username === '' && password === '' ? 'without' : 'with'
  return `${protocol}//${host}, ${access} a user name or password`
}

const hostOf = url => url.hostname.replace(/^\[(.*)\]$/, '$1')

async function checkDns(step, state) {
  const host = hostOf(state.url)
  if (net.isIP(host) !== 0) {
    step.skip(`${host} is an address`)
    return
  }
  if (state.proxy) {
    step.skip('the proxy resolves the host')
    return
  }
  const { addresses, code } = await lookup(host)
  if (addresses === undefined) {
    const problem = code === undefined ? `got no answer within ${STEP_MS} ms` : `failed (${code})`
    step.fail(`the lookup of ${host} ${problem}: check the host in the base URL, and the DNS of this machine`)
    return
  }
  state.addresses = addresses
  step.ok(`${host} is ${addresses.map(({ address }) => address).join(', ')}`)
}

function lookup(host) {
  const script = path.join(__dirname, 'lookup.js')
  // Without NODE_OPTIONS, since a preloaded module might print.
  const options = { timeout: STEP_MS, killSignal: 'SIGKILL', env: { ...process.env, NODE_OPTIONS: '' } }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [script, host], options, (error, stdout) => {
      if (error === null) resolve(JSON.parse(stdout))
      else if (error.killed) resolve({})
      else reject(error)
    })
  })
}

async function checkConnection(step, state) {
  if (state.proxy) {
    step.skip('not looked at directly, since requests go through the proxy')
    return
  }
  const seen = await inspect(state, state.url.protocol === 'https:')
  const failure = state.canAsk ? networkFailure(await state.questions.first()) : undefined
  if (failure) {
    step.fail(describe(failure))
    if (seen.agreedOnHttp2) await noteHttp1(step, state, failure)
    if (seen.text && state.url.protocol === 'https:') step.note(seen.text)
    if (state.url.protocol === 'http:' && (await inspect(state, true)).text) {
      step.note('the server speaks TLS on this port: begin the base URL with https:')
    }
    return
  }
  if (state.canAsk) step.ok(seen.text ?? 'the client has an answer')
  else if (seen.problem === undefined) step.ok(seen.text)
  else step.fail(`${seen.problem}: check the base URL, and what stands between here and there`)
  if (state.canAsk && seen.problem) step.note(`only Node itself is not content: ${seen.problem}`)
}

/** Says whether HTTP/1.1 works where HTTP/2 may have failed: some middleboxes agree on HTTP/2 and do not speak it. */
async function noteHttp1(step, { url, questions }, { code }) {
  if (url.protocol === 'http:' || NOT_ABOUT_HTTP.includes(code)) return
  const failure = networkFailure(await questions.overHttp1())
  if (failure === undefined) {
    step.note('HTTP/2 does not work here, and HTTP/1.1 does: set XKIT_HTTP2=0, or the option http2: false')
  } else step.note(`over HTTP/1.1 it fails too: ${describe(failure)}`)
}

/** Opens a TCP or TLS connection and sends nothing: `text` describes it, `problem` says why it cannot be trusted or made. */
function inspect({ url, addresses }, secure) {
  const host = hostOf(url)
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  const where = `${url.hostname}:${port}`
  const options = {
    host,
    port,
    servername: net.isIP(host) === 0 ? host : '',
    ALPNProtocols: ['h2', 'http/1.1'],
    // To describe a certificate that is not trusted, too.
    rejectUnauthorized: false,
    // The addresses are known already, and a lookup cannot be cancelled.
    lookup: (_host, { all }, done) =>
      all ? done(null, addresses) : done(null, addresses[0].address, addresses[0].family),
  }
  return new Promise(resolve => {
    const settle = result => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const socket = secure ? tls.connect(options) : net.connect(options)
    const timer = setTimeout(() => {
      settle({ problem: `no ${secure ? 'TLS' : 'TCP'} connection to ${where} within ${STEP_MS} ms` })
    }, STEP_MS)
    socket.once('error', ({ code }) => {
      settle({ problem: `no ${secure ? 'TLS' : 'TCP'} connection to ${where} (${code})` })
    })
    if (secure) socket.once('secureConnect', () => settle(describeSession(socket)))
    else socket.once('connect', () => settle({ text: `${where} is reached, by plain http` }))
  })
}

function describeSession(socket) {
  const { subject, issuer, valid_to: validTo } = socket.getPeerCertificate()
  const name = ({ O: organization, CN: commonName } = {}) =>
    [organization, commonName].flat().filter(Boolean).join(', ') || 'nobody'
  const until = Number.isNaN(Date.parse(validTo)) ? 'unknown' : new Date(validTo).toISOString()
  const agreedOnHttp2 = socket.alpnProtocol === 'h2'
  const text = `${socket.getProtocol()}, ${agreedOnHttp2 ? 'HTTP/2' : 'HTTP/1.1'}; the certificate of ${name(subject)} was issued by ${name(issuer)} and is valid until ${until}`
  if (socket.authorized) return { text, agreedOnHttp2 }
  const reason = socket.authorizationError?.code ?? socket.authorizationError
  return { text, agreedOnHttp2, problem: `Node does not trust the certificate (${reason})` }
}

module.exports = { checkConnection, checkDns, checkProxy }
