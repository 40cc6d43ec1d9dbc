// Owns chance that repeats itself: the same seed gives the same draws.
'use strict'

class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
    // Seeds that follow one another would begin with draws that do so, too.
    for (let warm = 0; warm < 4; warm++) this.below(1)
  }

  /** A whole number from 0 to `n - 1`. */
  below(n) {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * n)
  }

  /** True once in `n` draws. */
  oneIn(n) {
    return this.below(n) === 0
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  list(most, make) {
    return Array.from({ length: this.below(most + 1) }, () => make())
  }

  bytes(most) {
    return Buffer.from(this.list(most, () => this.below(256)))
  }

  /** Parts that add up to the bytes, often few and sometimes as many as there are. */
  split(bytes) {
    const longest = this.pick([1, 7, 100, 1000, 100_000])
    const chunks = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + this.below(Math.max(longest, Math.ceil(bytes.length / 200)))
      chunks.push(bytes.subarray(at, end))
      at = end
    }
    return chunks
  }
}

module.exports = { Random }
