// Owns one measurement of one contender, in a process of its own: takes its task as JSON, prints the result as JSON.
'use strict'

const path = require('node:path')

async function main({ measurement, contender, ...task }) {
  const { measure } = require(`./measurements/${measurement}.js`)
  const file = path.join(__dirname, 'contenders', `${contender}.js`)
  // Only a cold start has to load the contender itself.
  const loaded = measurement === 'cold-start' ? { contender: file } : { open: require(file).open }
  return measure({ ...task, ...loaded })
}

main(JSON.parse(process.argv[2])).then(
  result => {
    // Some contenders have no way to close their connections, and nobody wants to wait for those to time out.
    process.stdout.write(JSON.stringify(result), () => process.exit(0))
  },
  error => {
    console.error(error)
    process.exit(1)
  },
)
