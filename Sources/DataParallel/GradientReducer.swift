import Collectives
import Foundation
import Kernels
import TensorStorage

/// Sums gradients over the micro-batches of a step and over ranks.
///
/// Reproducible (the default): along `ReductionTree`, the same bits on any number of ranks. Across
/// ranks each bucket of the arena is exchanged all-to-all, so that every rank gets all roots' values
/// of its own part, sums them in the order of the tree and shares the result: the traffic of a ring.
/// Otherwise: leaves one after the other, then `MPI_Allreduce`.
public final class GradientReducer {
  /// How a step is divided.
  public let tree: ReductionTree
  /// Whether the sum follows the tree.
  public let reproducible: Bool

  private let communicator: Communicator
  private let buffers: [FloatBuffer]
  private let count: Int
  private let roots: [Range<Int>]
  private let allRoots: [[Range<Int>]]
  private let staging: FloatBuffer
  private let received: FloatBuffer
  private var exchange: Communicator.Exchange
  private var shareCounts: [Int32]
  private var shareOffsets: [Int32]
  private let leafValues: UnsafeMutablePointer<Double>
  private let gathered: UnsafeMutablePointer<Double>
  private let mostLeaves: Int

  /// Elements of the arena that one exchange moves.
  private static let bucket = 1 << 22

  /// Seconds spent exchanging in the last step.
  public private(set) var exchangeSeconds = 0.0

  /// Floats of memory that the reducer holds on a rank, the gradient itself included.
  public static func memory(count: Int, tree: ReductionTree, rank: Int, reproducible: Bool) -> Int {
    if !reproducible { return count }
    let own = tree.bufferCount(of: rank) * count
    if tree.ranks == 1 { return own }
    let bucket = min(bucket, count)
    let all = (0..<tree.ranks).reduce(0) { $0 + tree.roots(of: $1).count }
    return own + tree.roots(of: rank).count * bucket + all * (bucket / tree.ranks + 16)
  }

  /// Prepares for gradients of `count` elements.
  public init(count: Int, tree: ReductionTree, communicator: Communicator, reproducible: Bool) {
    precondition(tree.ranks == communicator.size, "the tree is for another number of ranks")
    self.tree = tree
    self.reproducible = reproducible
    self.communicator = communicator
    self.count = count
    let (rank, size) = (communicator.rank, communicator.size)
    roots = tree.roots(of: rank)
    allRoots = (0..<size).map { tree.roots(of: $0) }
    let bufferCount = reproducible ? tree.bufferCount(of: rank) : 1
    buffers = (0..<bufferCount).map { _ in FloatBuffer(count: count) }
    let bucket = reproducible && size > 1 ? min(Self.bucket, count) : 0
    staging = FloatBuffer(count: roots.count > 1 ? roots.count * bucket : 0)
    let rootCount = allRoots.reduce(0) { $0 + $1.count }
    received = FloatBuffer(count: bucket == 0 ? 0 : rootCount * (bucket / size + 32))
    exchange = Communicator.Exchange(size: size)
    shareCounts = [Int32](repeating: 0, count: size)
    shareOffsets = shareCounts
    mostLeaves = (0..<size).map { tree.leaves(of: $0).count }.max() ?? 1
    leafValues = .allocate(capacity: tree.leaves)
    gathered = .allocate(capacity: size * mostLeaves)
  }

  deinit {
    leafValues.deallocate()
    gathered.deallocate()
  }

  /// The summed gradient after `reduce`.
  public var gradient: FloatBuffer { buffers[0] }

  /// Computes this rank's leaves and sums everything.
  ///
  /// - Parameter leaf: (leaf, gradient arena to add to) -> the leaf's loss sum. The arena is zero in
  ///   reproducible mode, and holds the leaves before otherwise.
  /// - Returns: the sum of the leaves' losses over all ranks, in the order of the tree.
  /// - Throws: what `leaf` throws; `CollectiveError`.
  public func reduce(_ leaf: (Int, FloatBuffer) throws -> Double) throws -> Double {
    if reproducible {
      for (index, root) in roots.enumerated() { try evaluate(root, index, leaf) }
    } else {
      zero(buffers[0].pointer, count: count)
      for index in tree.leaves(of: communicator.rank) {
        leafValues[index] = try leaf(index, buffers[0])
      }
    }
    let start = DispatchTime.now().uptimeNanoseconds
    if communicator.size > 1 {
      if reproducible {
        var first = 0
        while first < count {
          try exchange(first..<min(first + Self.bucket, count))
          first += Self.bucket
        }
      } else {
        try communicator.sum(inPlace: buffers[0].pointer, count: count)
      }
    }
    exchangeSeconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
    return try sumOverRanks()
  }

  /// The sum over all leaves of all ranks of one number a leaf, in the order of the tree.
  public func sum(_ value: (Int) throws -> Double) throws -> Double {
    for leaf in tree.leaves(of: communicator.rank) { leafValues[leaf] = try value(leaf) }
    return try sumOverRanks()
  }

  private func sumOverRanks() throws -> Double {
    if communicator.size > 1 {
      let own = tree.leaves(of: communicator.rank)
      // Every rank sends the same number of values; short ones are padded with whatever is there.
      let mine = gathered + communicator.rank * mostLeaves
      for (i, leaf) in own.enumerated() { mine[i] = leafValues[leaf] }
      for i in own.count..<mostLeaves { mine[i] = 0 }
      try communicator.gather(inPlace: gathered, count: mostLeaves)
      for rank in 0..<communicator.size {
        for (i, leaf) in tree.leaves(of: rank).enumerated() {
          leafValues[leaf] = gathered[rank * mostLeaves + i]
        }
      }
    }
    return tree.sum(leafValues)
  }

  /// Sums a node that is all this rank's own into buffer `depth`.
  private func evaluate(
    _ node: Range<Int>, _ depth: Int, _ leaf: (Int, FloatBuffer) throws -> Double
  ) throws {
    if node.count == 1 {
      zero(buffers[depth].pointer, count: count)
      leafValues[node.lowerBound] = try leaf(node.lowerBound, buffers[depth])
      return
    }
    let (left, right) = ReductionTree.split(node)
    try evaluate(left, depth, leaf)
    try evaluate(right, depth + 1, leaf)
    add(buffers[depth + 1].pointer, count: count, accumulatingInto: buffers[depth].pointer)
  }

  /// A rank's part of a bucket; parts start at multiples of 16 elements.
  private func part(_ rank: Int, of bucket: Range<Int>) -> Range<Int> {
    let units = (bucket.count + 15) / 16
    let size = communicator.size
    let first = bucket.lowerBound + rank * units / size * 16
    let last = bucket.lowerBound + (rank + 1) * units / size * 16
    return min(first, bucket.upperBound)..<min(last, bucket.upperBound)
  }

  private func exchange(_ bucket: Range<Int>) throws {
    let own = part(communicator.rank, of: bucket)
    var (sent, got) = (0, 0)
    for rank in 0..<communicator.size {
      let part = part(rank, of: bucket)
      exchange.sendCounts[rank] = Int32(part.count * roots.count)
      exchange.sendOffsets[rank] = Int32(sent)
      if roots.count > 1 {
        for root in roots.indices {
          (staging.pointer + sent + root * part.count).update(
            from: buffers[root].pointer + part.lowerBound, count: part.count)
        }
      }
      sent += part.count * roots.count
      exchange.receiveCounts[rank] = Int32(own.count * allRoots[rank].count)
      exchange.receiveOffsets[rank] = Int32(got)
      got += own.count * allRoots[rank].count
      shareCounts[rank] = Int32(part.count)
      shareOffsets[rank] = Int32(part.lowerBound - bucket.lowerBound)
    }
    let send = roots.count > 1 ? staging.pointer : buffers[0].pointer + bucket.lowerBound
    try communicator.exchange(send, into: received.pointer, exchange)
    let sum = combine(0..<tree.leaves, own.count)
    copy(sum, count: own.count, into: buffers[0].pointer + own.lowerBound)
    try communicator.share(
      inPlace: buffers[0].pointer + bucket.lowerBound, counts: shareCounts, offsets: shareOffsets)
  }

  /// Sums the received parts of a node's roots, in the order of the tree, into its leftmost one.
  private func combine(_ node: Range<Int>, _ length: Int) -> UnsafeMutablePointer<Float> {
    var block = 0
    for roots in allRoots {
      for root in roots {
        if root == node { return received.pointer + block * length }
        block += 1
      }
    }
    let (left, right) = ReductionTree.split(node)
    let target = combine(left, length)
    add(combine(right, length), count: length, accumulatingInto: target)
    return target
  }
}
