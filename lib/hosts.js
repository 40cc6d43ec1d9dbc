// Owns the names of hosts in URLs, which the native side takes in ASCII only: the tables that it would need are in Node.
'use strict'

const { domainToASCII } = require('node:url')

const HOST = /^([^:/?#]+:\/\/(?:[^/?#@]*@)?)([^/?#:[\]]+)/

/** What names no host, or none that can be one, is left to the native side to refuse. */
function withAsciiHost(url) {
  return url?.replace(HOST, (_, before, host) => before + (domainToASCII(host) || host))
}

/** The options of the native side, with the hosts of all their URLs in ASCII. */
function withAsciiHosts(native) {
  const { baseUrl, catalogUrl, proxy, cache } = native
  return {
    __proto__: null,
    ...native,
    baseUrl: withAsciiHost(baseUrl),
    catalogUrl: withAsciiHost(catalogUrl),
    proxy: proxy && { __proto__: null, ...proxy, url: withAsciiHost(proxy.url) },
    cache: cache?.redis
      ? {
          __proto__: null,
          ...cache,
          redis: { __proto__: null, ...cache.redis, url: withAsciiHost(cache.redis.url) },
        }
      : cache,
  }
}

module.exports = { withAsciiHosts }
