import ErrorReporting

/// How the leaves of a step (its micro-batches) are shared among ranks and summed.
///
/// The sum of leaves `a ..< b` is the sum of its left part plus that of its right part, the left part
/// being the largest power of two of leaves below `b - a`. So the tree, and with it every bit of the
/// sum, depends on the number of leaves only and not on the number of ranks.
///
/// A rank computes consecutive leaves. The largest nodes of the tree whose leaves are all its own are
/// its *roots*: what it can add up alone and sends to the others.
///
/// Where ranks share sequences, a leaf is a part of a micro-batch: leaf `p M + m` is part p of micro-batch
/// m of M. All ranks of a group then compute the same micro-batches, and the numbers of the leaves, and so
/// the bits of the sum, depend on the number of parts but not on that of groups.
public struct ReductionTree: Sendable, Equatable {
  /// Leaves of a step.
  public let leaves: Int
  /// Who shares sequences with whom.
  public let groups: RankGroups

  /// Describes the sum of `leaves` leaves over `ranks` ranks, of which `parts` share a micro-batch.
  ///
  /// - Precondition: at least one of each; `parts` divides both.
  public init(leaves: Int, ranks: Int, parts: Int = 1) {
    require(
      leaves >= 1 && ranks >= 1 && leaves.isMultiple(of: parts),
      "a tree of \(leaves) leaves on \(ranks) ranks, \(parts) a micro-batch")
    groups = RankGroups(ranks: ranks, parts: parts)
    self.leaves = leaves
  }

  /// Ranks that share the leaves.
  public var ranks: Int { groups.ranks }
  /// Micro-batches of a step.
  public var microBatches: Int { leaves / groups.parts }

  /// The micro-batch that a leaf is a part of.
  public func microBatch(ofLeaf leaf: Int) -> Int { leaf % microBatches }
  /// The part of its micro-batch that a leaf is.
  public func part(ofLeaf leaf: Int) -> Int { leaf / microBatches }

  /// The micro-batches that a rank computes, or shares with its group; empty for some when there are more
  /// groups than micro-batches.
  public func microBatches(of rank: Int) -> Range<Int> {
    let group = groups.group(of: rank)
    return (group * microBatches / groups.count)..<((group + 1) * microBatches / groups.count)
  }

  /// The leaves that a rank computes.
  public func leaves(of rank: Int) -> Range<Int> {
    let (own, first) = (microBatches(of: rank), groups.part(of: rank) * microBatches)
    return (first + own.lowerBound)..<(first + own.upperBound)
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
    // The left part is a power of two: one buffer a level.
    return max(left.count.trailingZeroBitCount + 1, 1 + depth(right))
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
