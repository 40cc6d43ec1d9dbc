// Owns the build of the addon by `napi build`.
//   npm run build        a release, without the build machine's paths in it; what follows `--` is passed on to napi:
//                        npm run build -- --target x86_64-unknown-linux-musl -x
//   npm run build:dev    for the demo and the tests: built in less than half the time, never packed (addons.js)
'use strict'

const { execFileSync, spawnSync } = require('node:child_process')
const { homedir } = require('node:os')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const [isDevelopment, ARGUMENTS] =
  process.argv[2] === '--dev' ? [true, process.argv.slice(3)] : [false, process.argv.slice(2)]
const NAPI = path.join(path.dirname(require.resolve('@napi-rs/cli/package.json')), 'dist', 'cli.js')

/** Between two flags: a path may hold a space. */
const SEPARATOR = '\x1f'

function run(command, ...args) {
  return execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 })
}

/** The triple that is built for, without the version of glibc that zig takes after it. */
function targetTriple() {
  const named = ARGUMENTS.includes('--target') && ARGUMENTS[ARGUMENTS.indexOf('--target') + 1]
  return named ? named.split('.')[0] : /^host: (.*)$/m.exec(run('rustc', '-vV'))[1].trim()
}

/** Panics name lines of source files, and these are in more places than one. Rustc takes the last that fits. */
function remappings(triple) {
  const metadata = run('cargo', 'metadata', '--locked', '--format-version', '1', '--filter-platform', triple)
  const { packages, target_directory: targetFolder } = JSON.parse(metadata)
  const dependencies = packages.filter(({ source }) => source !== null)
  const folders = new Set(dependencies.map(({ manifest_path: file }) => path.dirname(path.dirname(file))))
  return [
    [homedir(), '~'],
    [ROOT, '/xkit-node'],
    [targetFolder, '/target'],
    [run('rustc', '--print', 'sysroot').trim(), '/rust'],
    ...Array.from(folders, folder => [folder, '/crates']),
  ].map(([from, to]) => `--remap-path-prefix=${from}=${to}`)
}

/** What is set already stays: cargo itself reads only the first of these that is set. */
function presentFlags() {
  const {
    CARGO_ENCODED_RUSTFLAGS: encoded,
    RUSTFLAGS: plain,
    CARGO_BUILD_RUSTFLAGS: configured,
  } = process.env
  return encoded?.split(SEPARATOR) ?? (plain ?? configured ?? '').split(' ')
}

function targetFlags(triple) {
  // Node cannot load a static C library. napi would say so in RUSTFLAGS, which cargo does not read beside ours.
  if (triple.includes('musl')) return ['-Ctarget-feature=-crt-static']
  // The linker would name the library by its path on this machine.
  if (triple.includes('apple')) return ['-Clink-arg=-Wl,-install_name,@rpath/xkit-node.node']
  // Node brings its own C runtime, so that a clean Windows may have none.
  if (triple.includes('windows-msvc')) return ['-Ctarget-feature=+crt-static']
  return []
}

function releaseEnvironment() {
  const triple = targetTriple()
  const flags = [...presentFlags(), ...targetFlags(triple), ...remappings(triple)]
  return { ...process.env, CARGO_ENCODED_RUSTFLAGS: flags.filter(flag => flag !== '').join(SEPARATOR) }
}

/** A development build takes the flags of the environment as they are: its paths may be those of this machine. */
const [profile, env] = isDevelopment ? [[], process.env] : [['--release'], releaseEnvironment()]
const options = ['--platform', ...profile, '--no-js', '--dts', 'binding.d.ts', ...ARGUMENTS]
const { status } = spawnSync(process.execPath, [NAPI, 'build', ...options, '--', '--locked'], {
  cwd: ROOT,
  stdio: 'inherit',
  env,
})
process.exitCode = status ?? 1
