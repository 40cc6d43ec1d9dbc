// Owns the clocks of CPU time: what the main thread used, and what each thread used.
'use strict'

const { readdirSync, readFileSync } = require('node:fs')
const { performance } = require('node:perf_hooks')

/**
 * The main thread's CPU clock, in nanoseconds. What the kernel counted for the thread is best: it holds time in
 * JavaScript, in native code and in system calls, and no time in which the thread was waiting or displaced. The event
 * loop's utilization is the last resort, since it takes a displaced thread for a busy one.
 */
function mainThreadClock() {
  if (process.threadCpuUsage) {
    return { source: 'process.threadCpuUsage()', read: () => microseconds(process.threadCpuUsage()) }
  }
  const file = `/proc/self/task/${process.pid}/schedstat`
  try {
    if (schedstat(file) > 0) {
      return { source: "the kernel's schedstat of the main thread", read: () => schedstat(file) }
    }
  } catch {
    // Not Linux, or a kernel without scheduler statistics.
  }
  return {
    source: 'performance.eventLoopUtilization(), which overstates on a busy machine',
    read: () => performance.eventLoopUtilization().active * 1e6,
  }
}

/** CPU of the whole process in nanoseconds, its ended threads included. */
function processClock() {
  return microseconds(process.cpuUsage())
}

/** Name and CPU time of each thread of a process; empty where the system does not tell. */
function threadTimes(pid = process.pid) {
  const folder = `/proc/${pid}/task`
  try {
    return readdirSync(folder).map(id => ({
      id: Number(id),
      name: readFileSync(`${folder}/${id}/comm`, 'utf8').trim(),
      nanoseconds: schedstat(`${folder}/${id}/schedstat`),
      ...ticks(`${folder}/${id}/stat`),
    }))
  } catch {
    return []
  }
}

function schedstat(file) {
  return Number(readFileSync(file, 'utf8').split(' ')[0])
}

/** Ticks in user mode and in the kernel: coarse, but the share of the one in both is good over seconds. */
function ticks(file) {
  const text = readFileSync(file, 'utf8')
  // The name in brackets may hold spaces, so the fields are counted from its end.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { userTicks: Number(fields[11]), kernelTicks: Number(fields[12]) }
}

const microseconds = ({ user, system }) => (user + system) * 1000

module.exports = { mainThreadClock, processClock, threadTimes }
