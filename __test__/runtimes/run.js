// Owns `npm run test:runtimes`: the packed package in each runtime, as a CommonJS and as an ES module.
'use strict'

const path = require('node:path')
const { TEST_ENV, installCopy, installTarballs, pack, report, run } = require('../support/packed.js')
const { devDependencies } = require('./package.json')

/** A smoke test takes about a second; a runtime that does not end by itself is ended then. */
const LIMIT_MS = 30_000

const node = major => ({ title: 'Node', dependency: `node-${major}`, file: 'bin/node', args: [] })
const RUNTIMES = [
  node(20),
  node(22),
  node(24),
  node(26),
  { title: 'Bun', dependency: '@oven/bun-linux-x64', file: 'bin/bun', args: ['--no-install'] },
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
  },
]
const PROGRAMS = ['commonjs.cjs', 'esm.mjs']

async function main() {
  const tarballs = pack()
  const cwd = await installCopy(__dirname)
  await installTarballs(cwd, tarballs)
  // Deno has a cache, which is to go with the project.
  const env = { ...TEST_ENV, DENO_DIR: path.join(cwd, '.deno'), DENO_NO_UPDATE_CHECK: '1' }
  for (const { title, dependency, file, args } of RUNTIMES) {
    const version = devDependencies[dependency].replace(/.*@/, '')
    for (const program of PROGRAMS) {
      const command = path.join(cwd, 'node_modules', dependency, file)
      const { problem, output } = await run(command, [...args, program], { cwd, limitMs: LIMIT_MS, env })
      // Warnings count too.
      const complaint = output === 'smoke test passed\n' ? undefined : 'did not print just that it passed'
      report(`${title} ${version}, ${program}`, problem ?? complaint, output)
    }
  }
}

main()
