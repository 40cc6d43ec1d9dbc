// Owns the paths of the client, as documented, and the variables that name others.
'use strict'

const DEFAULT_PATHS = {
  user: '/connections/{id}/{slug}',
  group: '/groups/{id}/connections/{slug}',
  context: '/contexts/{id}/connections/{slug}',
}
const PATH_VARIABLES = { user: 'XKIT_USER_PATH', group: 'XKIT_GROUP_PATH', context: 'XKIT_CONTEXT_PATH' }

module.exports = { DEFAULT_PATHS, PATH_VARIABLES }
