// Owns the run of a Dockerfile's steps in folders of this machine: what they copy, install and start, without the images.

const { cpSync, readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')
const { INSTALL_ENV, run, temporaryFolder } = require('../support/packed.js')

const LIMIT_MS = 180_000
const WORKDIR = '/app'

/** The files of a folder that a source of COPY matches, as in a `.dockerignore` with `node_modules`. */
function matching(folder, pattern) {
  const names = readdirSync(folder).filter(name => name !== 'node_modules')
  if (pattern === '.') return names
  const [start, end] = pattern.split('*')
  return names.filter(name =>
    end === undefined ? name === pattern : name.startsWith(start) && name.endsWith(end),
  )
}

function copy(args, { context, stages, folder }) {
  const target = path.join(folder, args.at(-1))
  const stage = /^--from=(\S+)$/.exec(args[0])?.[1]
  if (stage !== undefined) {
    cpSync(path.join(stages.get(stage), path.relative(WORKDIR, args[1])), target, { recursive: true })
    return
  }
  for (const name of args.slice(0, -1).flatMap(pattern => matching(context, pattern))) {
    cpSync(path.join(context, name), path.join(target, name), { recursive: true })
  }
}

/** Follows the file from its first stage to its CMD; `{ problem, output }` of the last command. */
async function runDockerfile(file, context, registry) {
  const stages = new Map()
  let folder
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const [instruction, ...args] = line.split(' ')
    if (instruction === 'FROM') {
      folder = temporaryFolder()
      if (args[1] === 'AS') stages.set(args[2], folder)
    } else if (instruction === 'COPY') {
      copy(args, { context, stages, folder })
    } else if (instruction === 'RUN' || instruction === 'CMD') {
      const [command, ...rest] = instruction === 'RUN' ? args : JSON.parse(args.join(' '))
      // An image begins without a cache; nothing that tarballs hold is asked of a registry.
      const env = {
        ...INSTALL_ENV,
        npm_config_cache: path.join(folder, '.npm'),
        npm_config_registry: registry,
      }
      const outcome = await run(command, rest, { cwd: folder, limitMs: LIMIT_MS, env })
      if (outcome.problem !== undefined || instruction === 'CMD') return outcome
    }
  }
}

module.exports = { runDockerfile }
