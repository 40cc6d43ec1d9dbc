// Owns the three rules: no circle, nothing upward, no child that imports its parent. A graph is a Map from each module to the
// Set of those that it imports.
'use strict'

/** Each strongly connected set of more than one module, sorted (Tarjan's algorithm). */
function circles(graph) {
  const order = new Map()
  const lowest = new Map()
  const stack = []
  const found = []
  const visit = name => {
    order.set(name, order.size)
    lowest.set(name, order.get(name))
    stack.push(name)
    for (const next of graph.get(name)) {
      if (!graph.has(next)) continue
      if (!order.has(next)) visit(next)
      if (stack.includes(next)) lowest.set(name, Math.min(lowest.get(name), lowest.get(next)))
    }
    if (lowest.get(name) !== order.get(name)) return
    const members = stack.splice(stack.indexOf(name))
    if (members.length > 1) found.push(members.sort())
  }
  for (const name of graph.keys()) if (!order.has(name)) visit(name)
  return found
}

/** `[child, parent]` of each import of a parent. Whatever is within a test module may import what that tests. */
function parentImports(graph, separator, tests) {
  const isTested = (from, to) =>
    [...tests].some(test => isWithin(from, test, separator) && test.startsWith(to + separator))
  return edges(graph).filter(([from, to]) => from.startsWith(to + separator) && !isTested(from, to))
}

/** `[from, to]` of each import of a higher layer, or of another folder in the same one. The first layer are leaves. */
function upwardImports(graph, separator, layers) {
  const place = name => {
    const level = layers.findLastIndex(names => names.some(folder => isWithin(name, folder, separator)))
    const folder = layers[level]?.find(folder => isWithin(name, folder, separator))
    return { level, folder }
  }
  return edges(graph).filter(([from, to]) => {
    const [above, below] = [place(from), place(to)]
    if (above.folder === below.folder) return false
    return below.level > above.level || (below.level === above.level && above.level > 0)
  })
}

/** Modules that no layer names. */
function withoutLayer(graph, separator, layers) {
  const folders = layers.flat()
  return [...graph.keys()].filter(name => !folders.some(folder => isWithin(name, folder, separator)))
}

const isWithin = (name, folder, separator) => name === folder || name.startsWith(folder + separator)

const edges = graph => Array.from(graph, ([from, targets]) => Array.from(targets, to => [from, to])).flat()

module.exports = { circles, parentImports, upwardImports, withoutLayer }
