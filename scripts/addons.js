// Owns what can be told from the bytes of a built addon: the platform it is for, the system it needs, and whether it
// gives away paths of the machine that built it.
'use strict'

const { existsSync, readFileSync } = require('node:fs')
const { homedir } = require('node:os')
const path = require('node:path')
const { platforms } = require('./manifests.js')

const MAX_ADDON_BYTES = 4_500_000

/** The package and the addon of one platform. */
const MAX_INSTALLED_BYTES = 5_000_000

/** What Node 20 itself needs on Linux. */
const MAX_GLIBC_MINOR = 28

const ROOT = path.join(__dirname, '..')
const { CARGO_HOME = path.join(homedir(), '.cargo'), RUSTUP_HOME = path.join(homedir(), '.rustup') } =
  process.env
const OWN_FOLDERS = [homedir(), CARGO_HOME, RUSTUP_HOME, ROOT].filter(folder => folder.length > 1)

/** How such paths look on any machine. */
const FOREIGN_PATH =
  /(?:\/(?:home|root|Users)\/\w|[A-Z]:\\(?:Users|a)\\|\.(?:cargo|rustup)[/\\]|registry[/\\]src)[ -~]*/g

/** The numbers for a processor in the headers of the three formats. */
const ELF = { 62: 'x64', 183: 'arm64' }
const MACH_O = { 16777223: 'x64', 16777228: 'arm64' }
const PE = { 34404: 'x64', 43620: 'arm64' }

/** Such as `linux-arm64`; undefined for what is no addon. */
function builtFor(bytes) {
  if (bytes.length < 64) return undefined
  if (bytes.readUInt32BE(0) === 0x7f454c46) return `linux-${ELF[bytes.readUInt16LE(18)]}`
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return `darwin-${MACH_O[bytes.readUInt32LE(4)]}`
  if (bytes.toString('latin1', 0, 2) !== 'MZ') return undefined
  const header = bytes.readUInt32LE(0x3c)
  return header + 6 > bytes.length ? undefined : `win32-${PE[bytes.readUInt16LE(header + 4)]}`
}

/** The paths of a build machine, this one's in full and others' by their looks. */
function buildPaths(bytes) {
  const text = bytes.toString('latin1')
  const own = OWN_FOLDERS.filter(folder => text.includes(folder + path.sep))
  return [...new Set([...own, ...(text.match(FOREIGN_PATH) ?? [])])]
}

/** The newest minor version of glibc that the addon asks for; undefined for one that does not use glibc. */
function neededGlibcMinor(bytes) {
  const versions = Array.from(bytes.toString('latin1').matchAll(/GLIBC_2\.(\d+)/g), ([, minor]) =>
    Number(minor),
  )
  return versions.length === 0 ? undefined : Math.max(...versions)
}

/** What keeps the addons in a folder from being published, as sentences; none when all is well. */
function addonProblems(folder) {
  return platforms().flatMap(platform => {
    const name = `xkit-node.${platform.folder}.node`
    const file = path.join(folder, name)
    if (!existsSync(file)) return [`${name} is missing`]
    return problemsOf(readFileSync(file), platform).map(problem => `${name} ${problem}`)
  })
}

function problemsOf(bytes, { os, cpu, libc }) {
  const problems = []
  if (builtFor(bytes) !== `${os}-${cpu}`) problems.push(`is built for ${builtFor(bytes) ?? 'nothing known'}`)
  if (bytes.length > MAX_ADDON_BYTES) problems.push(`takes ${bytes.length} bytes`)
  const minor = neededGlibcMinor(bytes)
  if (libc === 'glibc' && minor > MAX_GLIBC_MINOR) problems.push(`needs glibc 2.${minor}`)
  if (libc !== 'glibc' && minor !== undefined) problems.push('needs glibc, of all things')
  const [found] = buildPaths(bytes)
  if (found !== undefined) problems.push(`holds a path of the machine that built it: ${found}`)
  return problems
}

/** A development build is five times as large as a release, and holds this machine's paths. */
function isRelease(bytes) {
  return bytes.length <= MAX_ADDON_BYTES && buildPaths(bytes).length === 0
}

module.exports = { MAX_ADDON_BYTES, MAX_INSTALLED_BYTES, addonProblems, buildPaths, isRelease }
