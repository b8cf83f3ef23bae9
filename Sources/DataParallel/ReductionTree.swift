/// How the leaves of a step (its micro-batches) are shared among ranks and summed.
///
/// The sum of leaves `a ..< b` is the sum of its left part plus that of its right part, the left part
/// being the largest power of two of leaves below `b - a`. So the tree, and with it every bit of the
/// sum, depends on the number of leaves only and not on the number of ranks.
///
/// A rank computes consecutive leaves. The largest nodes of the tree whose leaves are all its own are
/// its *roots*: what it can add up alone and sends to the others.
public struct ReductionTree: Sendable, Equatable {
  /// Leaves of a step.
  public let leaves: Int
  /// Ranks that share them.
  public let ranks: Int

  /// Describes the sum of `leaves` leaves over `ranks` ranks.
  ///
  /// - Precondition: at least one of each.
  public init(leaves: Int, ranks: Int) {
    precondition(leaves >= 1 && ranks >= 1, "a tree of \(leaves) leaves on \(ranks) ranks")
    self.leaves = leaves
    self.ranks = ranks
  }

  /// The leaves that a rank computes; empty for some when there are more ranks than leaves.
  public func leaves(of rank: Int) -> Range<Int> {
    (rank * leaves / ranks)..<((rank + 1) * leaves / ranks)
  }

  /// The two parts of a node of two or more leaves.
  public static func split(_ node: Range<Int>) -> (left: Range<Int>, right: Range<Int>) {
    var size = 1
    while size * 2 < node.count { size *= 2 }
    let middle = node.lowerBound + size
    return (node.lowerBound..<middle, middle..<node.upperBound)
  }

  /// The roots of a rank, left to right.
  public func roots(of rank: Int) -> [Range<Int>] {
    let own = leaves(of: rank)
    func roots(in node: Range<Int>) -> [Range<Int>] {
      if !node.overlaps(own) { return [] }
      if own.lowerBound <= node.lowerBound && node.upperBound <= own.upperBound { return [node] }
      let (left, right) = Self.split(node)
      return roots(in: left) + roots(in: right)
    }
    return roots(in: 0..<leaves)
  }

  /// Buffers that summing a node alone needs at one time.
  static func depth(_ node: Range<Int>) -> Int {
    if node.count <= 1 { return 1 }
    let (left, right) = split(node)
    return max(depth(left), 1 + depth(right))
  }

  /// Buffers that a rank needs at one time: its finished roots and the one in work.
  public func bufferCount(of rank: Int) -> Int {
    roots(of: rank).enumerated().map { $0 + Self.depth($1) }.max() ?? 1
  }

  /// The sum of one number a leaf, in the order of the tree.
  public func sum(_ values: UnsafePointer<Double>) -> Double {
    Self.sum(values, 0..<leaves)
  }

  private static func sum(_ values: UnsafePointer<Double>, _ node: Range<Int>) -> Double {
    if node.count == 1 { return values[node.lowerBound] }
    let (left, right) = split(node)
    return sum(values, left) + sum(values, right)
  }
}
