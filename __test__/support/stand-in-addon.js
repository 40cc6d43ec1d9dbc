// Owns stand-ins for the addons of other platforms: just enough bytes to tell what they are for.
'use strict'

const HEADER = 64

function standInAddon(os, cpu) {
  const bytes = Buffer.alloc(2 * HEADER)
  const isArm = cpu === 'arm64'
  if (os === 'linux') {
    bytes.write('\x7fELF', 'latin1')
    bytes.writeUInt16LE(isArm ? 0xb7 : 0x3e, 18)
  } else if (os === 'darwin') {
    bytes.writeUInt32LE(0xfeedfacf, 0)
    bytes.writeUInt32LE(isArm ? 0x0100000c : 0x01000007, 4)
  } else {
    bytes.write('MZ', 'latin1')
    bytes.writeUInt32LE(HEADER, 0x3c)
    bytes.write('PE', HEADER, 'latin1')
    bytes.writeUInt16LE(isArm ? 0xaa64 : 0x8664, HEADER + 4)
  }
  return bytes
}

module.exports = { standInAddon }
