// Owns what a run measured: one result per measurement, transport, contender and round.
'use strict'

const { pairedRatio, summary } = require('./statistics.js')

class Results {
  #byKey = new Map()

  /** A further result of the same round adds its fields. */
  add({ measurement, transport, name }, round, result) {
    const key = keyOf(measurement, transport, name)
    if (!this.#byKey.has(key)) this.#byKey.set(key, [])
    const rounds = this.#byKey.get(key)
    rounds[round] = { ...rounds[round], ...result }
  }

  /** One value per round; `NaN` where the round has none. */
  values(measurement, transport, name, field) {
    return Array.from(this.#byKey.get(keyOf(measurement, transport, name)) ?? [], result =>
      Number(result?.[field] ?? Number.NaN),
    )
  }

  summary(measurement, transport, name, field) {
    return summary(this.values(measurement, transport, name, field))
  }

  /** How the one relates to the other, round by round; undefined if there is no round with both. */
  ratio(measurement, transport, field, one, other) {
    return pairedRatio(
      this.values(measurement, transport, one, field),
      this.values(measurement, transport, other, field),
    )
  }

  /** Any result of a measurement, for what is the same in all. */
  any(measurement) {
    for (const [key, results] of this.#byKey) {
      const result = results.find(Boolean)
      if (result && key.startsWith(`${measurement} `)) return result
    }
    return undefined
  }
}

const keyOf = (measurement, transport, name) => `${measurement} ${transport} ${name}`

module.exports = { Results }
