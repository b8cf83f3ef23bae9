import Collectives
import DataParallel
import TensorStorage

/// Sums gradients that every rank can compute, and compares with the sum along the tree.
struct ReductionCheck {
  let count: Int
  let leaves: Int
  let communicator: Communicator

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
    let reducer = GradientReducer(
      count: count, tree: ReductionTree(leaves: leaves, ranks: communicator.size),
      communicator: communicator, reproducible: true)
    for _ in 0..<2 {
      let total = try reducer.reduce { leaf, gradient in
        for index in 0..<count { gradient.pointer[index] += element(leaf, index) }
        return Double(leaf + 1)
      }
      guard total == Double(leaves * (leaves + 1) / 2) else { return false }
      for index in 0..<count
      where reducer.gradient.pointer[index].bitPattern != sum(0..<leaves, index).bitPattern {
        return false
      }
    }
    return true
  }
}
