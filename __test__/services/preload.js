// Preloaded into the process that runs the SDKs: whatever they connect to, by whatever name, is the service on loopback.
// Names are still what certificates are checked against.

const dns = require('node:dns')
const net = require('node:net')

const LOOPBACK = '127.0.0.1'
const PORTS = [80, 443]

const { connect } = net.Socket.prototype

// Below node:http, node:https, node:tls, node:http2 and fetch: all of them connect their sockets by it.
net.Socket.prototype.connect = function (...args) {
  const [options, ...rest] = Array.isArray(args[0]) ? args[0] : args
  if (!PORTS.includes(Number(options?.port))) return connect.apply(this, args)
  const { lookup, ...others } = options
  return connect.call(
    this,
    { ...others, host: LOOPBACK, port: Number(process.env.SERVICE_PORT) },
    ...rest.filter(isCallback),
  )
}

const isCallback = value => typeof value === 'function'

// gRPC looks names up by itself.
const found = options =>
  options?.all ? [{ address: LOOPBACK, family: 4 }] : { address: LOOPBACK, family: 4 }
dns.promises.lookup = async (_name, options) => found(options)
dns.lookup = (_name, options, callback = options) => {
  const answer = found(options)
  setImmediate(() =>
    Array.isArray(answer) ? callback(null, answer) : callback(null, answer.address, answer.family),
  )
}
