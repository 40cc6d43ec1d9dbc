// Owns the client's default paths, as documented.
'use strict'

const DEFAULT_PATHS = {
  user: '/connections/{id}/{slug}',
  group: '/groups/{id}/connections/{slug}',
  context: '/contexts/{id}/connections/{slug}',
}

module.exports = { DEFAULT_PATHS }
