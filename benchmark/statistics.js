// Owns the arithmetic of samples: medians, quantiles, paired ratios and slopes.
'use strict'

function median(values) {
  const sorted = ascending(values)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The smallest value that at least this share of all values does not exceed. */
function quantile(values, share) {
  return ascending(values)[Math.max(0, Math.ceil(values.length * share) - 1)]
}

/** Median, least and greatest; undefined without a value. What is no number was not measured. */
function summary(values) {
  const measured = values.filter(Number.isFinite)
  if (measured.length === 0) return undefined
  return { median: median(measured), least: Math.min(...measured), greatest: Math.max(...measured) }
}

/** The ratio in each round, summed up: what slows a whole round down slows both sides and cancels. */
function pairedRatio(numerators, denominators) {
  return summary(Array.from(numerators, (value, round) => value / denominators[round]))
}

/** Growth per step of equally spaced values, by least squares. */
function slope(values) {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let product = 0
  let square = 0
  values.forEach((value, index) => {
    product += (index - middle) * (value - mean)
    square += (index - middle) ** 2
  })
  return product / square
}

const ascending = values => Float64Array.from(values).sort()

module.exports = { median, pairedRatio, quantile, slope, summary }
