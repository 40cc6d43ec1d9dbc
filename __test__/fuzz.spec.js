// A bounded run of the fuzzer, the same one each time; `npm run fuzz` runs it for longer and from other seeds.
'use strict'

const { execFile } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')

const FUZZ = path.join(__dirname, 'fuzz', 'fuzz.js')
const CASES = 800

const run = (...args) => promisify(execFile)(process.execPath, [FUZZ, ...args])

test(`${CASES} hostile answers and arguments end in what is documented, in time, without a crash and without a secret`, async () => {
  const { stdout } = await run('--cases', String(CASES), '--seed', '20240301')

  expect(stdout).toMatch(/^fuzzing from seed 20240301\n/)
  expect(stdout).toContain(`\n${CASES} cases, 0 failed\n`)
  // It has met more than one wall.
  const [, ends] = /^ends: (.*)$/m.exec(stdout)
  const counts = Object.fromEntries(ends.split(', ').map(end => end.split(' ').reverse()))
  expect(Number(counts.token)).toBeGreaterThan(20)
  expect(Object.keys(counts)).toEqual(
    expect.arrayContaining(['ERR_XKIT_INVALID_RESPONSE', 'ERR_XKIT_CONNECT', 'ERR_XKIT_REDIRECT']),
  )
})

test('a seed that is none is refused', async () => {
  await expect(run('--seed', 'none')).rejects.toMatchObject({ stderr: expect.stringContaining('--seed') })
})
