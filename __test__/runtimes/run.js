// Owns `npm run test:runtimes`: the packed package in each runtime, as a CommonJS and as an ES module, and what it
// trusts there.
'use strict'

const path = require('node:path')
const { createAuthority } = require('../support/certificates.js')
const { TEST_ENV, installCopy, installTarballs, pack, report, run } = require('../support/packed.js')
const { devDependencies } = require('./package.json')

/** A smoke test takes about a second; a runtime that does not end by itself is ended then. */
const LIMIT_MS = 30_000

const PROGRAMS = ['commonjs.cjs', 'esm.mjs']
/** For a runtime that has `tls.setDefaultCACertificates`. */
const ALL_PROGRAMS = [...PROGRAMS, 'authorities.cjs']

const node = (major, programs) => ({
  title: 'Node',
  dependency: `node-${major}`,
  file: 'bin/node',
  args: [],
  programs,
})
const RUNTIMES = [
  node(20, PROGRAMS),
  node(22, ALL_PROGRAMS),
  node(24, ALL_PROGRAMS),
  node(26, ALL_PROGRAMS),
  {
    title: 'Bun',
    dependency: '@oven/bun-linux-x64',
    file: 'bin/bun',
    args: ['--no-install'],
    programs: PROGRAMS,
  },
  {
    title: 'Deno',
    dependency: '@deno/linux-x64-glibc',
    file: 'deno',
    // What a program needs to be allowed for the package's sake, and 127.0.0.1 for the platform's.
    args: [
      'run',
      '--no-prompt',
      '--cached-only',
      '--allow-ffi=node_modules',
      '--allow-read=.',
      '--allow-env',
      '--allow-sys',
      '--allow-net=127.0.0.1',
    ],
    programs: PROGRAMS,
  },
]
/** What authorities.cjs serves, trusts, and trusts in place of it. */
function certificates() {
  const authority = createAuthority()
  const identity = authority.issue({ hosts: ['127.0.0.1'] })
  return { authority: authority.certificate, identity, stranger: createAuthority().certificate }
}

async function main() {
  const tarballs = pack()
  const cwd = await installCopy(__dirname)
  await installTarballs(cwd, tarballs)
  // Deno has a cache, which is to go with the project.
  const TEST_CERTIFICATES = JSON.stringify(certificates())
  const env = { ...TEST_ENV, TEST_CERTIFICATES, DENO_DIR: path.join(cwd, '.deno'), DENO_NO_UPDATE_CHECK: '1' }
  for (const { title, dependency, file, args, programs } of RUNTIMES) {
    const version = devDependencies[dependency].replace(/.*@/, '')
    for (const program of programs) {
      const command = path.join(cwd, 'node_modules', dependency, file)
      const { problem, output } = await run(command, [...args, program], { cwd, limitMs: LIMIT_MS, env })
      // Warnings count too.
      const complaint = output === 'smoke test passed\n' ? undefined : 'did not print just that it passed'
      report(`${title} ${version}, ${program}`, problem ?? complaint, output)
    }
  }
}

main()
