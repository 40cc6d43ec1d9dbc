// Owns what npm runs before another project gets this package from git or from its folder: the addon is built, unless it
// is there. For an `npm ci` of the package itself there is nothing to prepare: its commands build what they need.
'use strict'

const { spawnSync } = require('node:child_process')
const { existsSync, readFileSync, readdirSync, realpathSync } = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')

/** npm tells for which project it works. */
function isForThisPackage() {
  const project = process.env.npm_config_local_prefix
  return project !== undefined && realpathSync(project) === realpathSync(ROOT)
}

/** What is missing for a build, and what to do; undefined where all is there. */
function obstacle() {
  const { status } = spawnSync('cargo', ['--version'], { cwd: ROOT })
  if (status !== 0) {
    const [, version] = /^rust-version = "(.*)"$/m.exec(readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'))
    return (
      'xkit-node is built from source here, which needs Rust, and there is no cargo in PATH: install Rust ' +
      `${version} or newer (https://rustup.rs), or let npm install the tarballs that \`npm run pack\` makes where Rust is`
    )
  }
  if (existsSync(path.join(ROOT, 'node_modules', '@napi-rs', 'cli'))) return undefined
  return 'xkit-node has not been built in its folder: run `npm ci && npm run build` there, and install it again'
}

function prepare() {
  if (isForThisPackage() || readdirSync(ROOT).some(name => name.endsWith('.node'))) return 0
  const problem = obstacle()
  if (problem !== undefined) {
    console.error(problem)
    return 1
  }
  console.log('xkit-node is built from source, which takes some minutes')
  return spawnSync(process.execPath, [path.join(__dirname, 'build.js')], { stdio: 'inherit' }).status ?? 1
}

process.exitCode = prepare()
