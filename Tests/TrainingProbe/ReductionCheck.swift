import Collectives
import DataParallel
import TensorStorage

/// Sums gradients that every rank can compute, and compares with the sum along the tree.
struct ReductionCheck {
  let count: Int
  let leaves: Int
  let communicator: Communicator
  let options: ReductionOptions

  /// Element `index` of a leaf's gradient: numbers of very different sizes, so that order shows.
  private func element(_ leaf: Int, _ index: Int) -> Float {
    let bits = UInt64(index &* 31 &+ leaf &* 1_000_003) &* 0x9E37_79B9_7F4A_7C15
    let value = Float(Int32(truncatingIfNeeded: bits >> 32)) * 0x1p-31
    return index % 3 == 0 ? value * 1000 : value
  }

  private func sum(_ node: Range<Int>, _ index: Int) -> Float {
    if node.count == 1 { return element(node.lowerBound, index) }
    let (left, right) = ReductionTree.split(node)
    return sum(left, index) + sum(right, index)
  }

  /// Whether two reductions in a row give the right bits on this rank.
  func run() throws -> Bool {
    let reducer = try GradientReducer(
      count: count, tree: ReductionTree(leaves: leaves, ranks: communicator.size),
      communicator: communicator, options: options)
    for _ in 0..<2 {
      let total = try reducer.reduce { leaf, gradient, isLast in
        // From the end, as backward does; the last step is left to the reducer.
        var end = count
        while end > 0 {
          let start = max(0, end - 700_001)
          for index in start..<end { gradient.pointer[index] += element(leaf, index) }
          if isLast, start > 0 { reducer.gradientsAreFinal(from: start) }
          end = start
        }
        return Double(leaf + 1)
      }
      guard total == Double(leaves * (leaves + 1) / 2) else { return false }
      for range in reducer.partition.ranges(of: reducer.part) {
        guard range.allSatisfy({ isRight(reducer.gradient.pointer[$0], $0) }) else { return false }
      }
      guard try partsAreShared(reducer) else { return false }
    }
    return true
  }

  private func isRight(_ value: Float, _ index: Int) -> Bool {
    let exact = sum(0..<leaves, index)
    if options.reproducible { return value.bitPattern == exact.bitPattern }
    // Summands are below 1000, and any of them may cancel.
    return abs(value - exact) <= 2e-3
  }

  /// Whether every rank gets what the others have, where parts are shared.
  private func partsAreShared(_ reducer: GradientReducer) throws -> Bool {
    guard options.isSharded else { return true }
    let values = FloatBuffer(count: count)
    for range in reducer.partition.ranges(of: reducer.part) {
      for index in range { values.pointer[index] = element(0, index) }
    }
    try reducer.shareParts(of: values)
    return (0..<count).allSatisfy { values.pointer[$0] == element(0, $0) }
  }
}
