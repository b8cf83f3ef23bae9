import Collectives
import Foundation
import Kernels
import TensorStorage

/// Sums the roots of all ranks along the tree, bucket by bucket from the arena's end to its start.
///
/// A bucket is exchanged all-to-all, so that every rank gets all roots' values of its own part; it sums
/// them in the order of the tree and, unless results stay sharded, shares the sum: the traffic of a
/// ring. Backward fills the arena from its end, so buckets may be exchanged while it runs; at most
/// `window` exchanges are under way.
final class BucketExchange {
  /// How the arena is divided.
  let partition: ArenaPartition

  private let rank: Int
  private let tree: ReductionTree
  private let roots: [FloatBuffer]
  private let allRoots: [[Range<Int>]]
  private let sharesSums: Bool
  private let exchanges: NonBlockingExchanges
  private let plans: [BucketPlan]
  private let slots: [Slot]

  /// Buckets in the order of their exchange: how many may begin, have begun, are summed, are shared.
  private var (ready, begun, summed, shared) = (0, 0, 0, 0)
  private var exchanging: [NonBlockingExchanges.Operation]
  private var sharing: [NonBlockingExchanges.Operation]
  private var isAdvancing = false

  /// Exchanges under way at one time.
  private static let window = 4

  /// Memory of one exchange.
  private struct Slot {
    /// This rank's roots, one rank's part after the other; empty for a single root, which is sent from
    /// where it is.
    let staging: FloatBuffer
    /// All roots' values of this rank's part.
    let received: FloatBuffer
  }

  /// Floats of memory besides the roots.
  static func memory(_ partition: ArenaPartition, tree: ReductionTree, rank: Int) -> Int {
    let sizes = slotSizes(partition, tree: tree, rank: rank)
    return min(window, partition.bucketCount) * (sizes.staging + sizes.received)
  }

  private static func slotSizes(
    _ partition: ArenaPartition, tree: ReductionTree, rank: Int
  ) -> (staging: Int, received: Int) {
    let ownRoots = tree.roots(of: rank).count
    let bucket = min(partition.grain.bucket, partition.count)
    let part = (0..<partition.bucketCount).map { partition.range(of: rank, inBucket: $0).count }
    let allRoots = (0..<tree.ranks).reduce(0) { $0 + tree.roots(of: $1).count }
    return (ownRoots > 1 ? ownRoots * bucket : 0, allRoots * (part.max() ?? 0))
  }

  /// Prepares to sum `roots`, the first of which also takes the result; collective.
  ///
  /// - Parameters:
  ///   - roots: this rank's roots of the tree.
  ///   - tree: all ranks' roots, and the order of the sum.
  ///   - partition: how the arena is divided.
  ///   - communicator: the ranks.
  ///   - sharesSums: whether every rank gets the whole sum, not only its part.
  /// - Throws: `CollectiveError`.
  init(
    _ roots: [FloatBuffer], tree: ReductionTree, partition: ArenaPartition,
    communicator: Communicator, sharesSums: Bool
  ) throws {
    self.roots = roots
    self.tree = tree
    self.partition = partition
    self.sharesSums = sharesSums
    let rank = communicator.rank
    self.rank = rank
    exchanges = try NonBlockingExchanges(communicator)
    let allRoots = (0..<tree.ranks).map { tree.roots(of: $0) }
    self.allRoots = allRoots
    let shapes = (0..<partition.bucketCount).map { partition.bucket($0).count }
    var plans: [Int: BucketPlan] = [:]
    for (bucket, count) in shapes.enumerated() where plans[count] == nil {
      plans[count] = BucketPlan(
        partition, bucket: bucket, rank: rank, rootCounts: allRoots.map(\.count))
    }
    self.plans = shapes.compactMap { plans[$0] }
    let sizes = Self.slotSizes(partition, tree: tree, rank: rank)
    slots = (0..<min(Self.window, partition.bucketCount)).map { _ in
      Slot(staging: FloatBuffer(count: sizes.staging), received: FloatBuffer(count: sizes.received))
    }
    exchanging = shapes.map { _ in NonBlockingExchanges.Operation() }
    sharing = exchanging
  }

  /// The bucket that is exchanged at that turn.
  private func bucket(_ turn: Int) -> Int { partition.bucketCount - 1 - turn }

  /// Says that elements from `offset` on will not change any more, and goes on with what can go on.
  func gradientsAreFinal(from offset: Int) throws {
    let size = partition.grain.bucket
    ready = max(ready, partition.bucketCount - (offset + size - 1) / size)
    try advance(waiting: false)
  }

  /// Goes on as far as possible without waiting.
  func poll() throws {
    try advance(waiting: false)
  }

  /// Sums and shares what is left, and waits for it.
  func finish() throws {
    ready = partition.bucketCount
    try advance(waiting: true)
    (ready, begun, summed, shared) = (0, 0, 0, 0)
  }

  private func advance(waiting: Bool) throws {
    // The sums below run on the threads, before each of whose jobs this may be called.
    guard !isAdvancing else { return }
    isAdvancing = true
    defer { isAdvancing = false }
    repeat {
      while begun < ready, begun - summed < slots.count {
        try begin(begun)
        begun += 1
      }
      guard summed < begun, try isDone(&exchanging[summed], waiting) else { break }
      try sum(summed)
      summed += 1
    } while true
    while shared < summed, try isDone(&sharing[shared], waiting) { shared += 1 }
  }

  private func isDone(
    _ operation: inout NonBlockingExchanges.Operation, _ waiting: Bool
  ) throws -> Bool {
    guard waiting else { return try exchanges.isDone(&operation) }
    try exchanges.wait(&operation)
    return true
  }

  private func begin(_ turn: Int) throws {
    let index = bucket(turn)
    let slot = slots[turn % slots.count]
    var send = roots[0].pointer + partition.bucket(index).lowerBound
    if roots.count > 1 {
      send = slot.staging.pointer
      var target = send
      for rank in 0..<partition.parts {
        let part = partition.range(of: rank, inBucket: index)
        for root in roots {
          copy(root.pointer + part.lowerBound, count: part.count, into: target)
          target += part.count
        }
      }
    }
    exchanging[turn] = try exchanges.startExchange(
      send, into: slot.received.pointer, plans[index].blocks)
  }

  /// Sums this rank's part and begins to share it.
  private func sum(_ turn: Int) throws {
    let index = bucket(turn)
    let own = partition.range(of: rank, inBucket: index)
    let received = slots[turn % slots.count].received.pointer
    if !own.isEmpty {
      let sum = combine(0..<tree.leaves, received, own.count)
      copy(sum, count: own.count, into: roots[0].pointer + own.lowerBound)
    }
    if sharesSums { sharing[turn] = try startShare(of: roots[0], bucket: index) }
  }

  /// Sums the received parts of a node's roots, in the order of the tree, into its leftmost one.
  private func combine(
    _ node: Range<Int>, _ received: UnsafeMutablePointer<Float>, _ length: Int
  ) -> UnsafeMutablePointer<Float> {
    var block = 0
    for roots in allRoots {
      for root in roots {
        if root == node { return received + block * length }
        block += 1
      }
    }
    let (left, right) = ReductionTree.split(node)
    let target = combine(left, received, length)
    add(combine(right, received, length), count: length, accumulatingInto: target)
    return target
  }

  private func startShare(
    of values: FloatBuffer, bucket index: Int
  ) throws -> NonBlockingExchanges.Operation {
    let plan = plans[index]
    return try exchanges.startShare(
      inPlace: values.pointer + partition.bucket(index).lowerBound, counts: plan.partCounts,
      offsets: plan.partOffsets)
  }

  /// Fills in the other ranks' parts of `values`, for example of updated parameters.
  func share(_ values: FloatBuffer) throws {
    for index in 0..<partition.bucketCount {
      sharing[index] = try startShare(of: values, bucket: index)
      if index >= Self.window { try exchanges.wait(&sharing[index - Self.window]) }
    }
    for index in 0..<partition.bucketCount { try exchanges.wait(&sharing[index]) }
  }

  /// Sums `values` over ranks in MPI's own order into each rank's own part.
  func sumPlainly(_ values: FloatBuffer, _ communicator: Communicator) throws {
    for index in 0..<partition.bucketCount {
      let own = partition.range(of: rank, inBucket: index)
      let received = slots[0].received.pointer
      try communicator.sum(
        values.pointer + partition.bucket(index).lowerBound, scatteringInto: received,
        counts: plans[index].partCounts)
      copy(received, count: own.count, into: values.pointer + own.lowerBound)
    }
  }
}

/// Counts and offsets of a bucket's exchanges; the same for all buckets of a size.
private final class BucketPlan {
  let blocks: NonBlockingExchanges.Blocks
  let partCounts: UnsafeMutableBufferPointer<Int32>
  let partOffsets: UnsafeMutableBufferPointer<Int32>

  init(_ partition: ArenaPartition, bucket: Int, rank: Int, rootCounts: [Int]) {
    let size = partition.parts
    blocks = NonBlockingExchanges.Blocks(size: size)
    partCounts = .allocate(capacity: size)
    partOffsets = .allocate(capacity: size)
    let start = partition.bucket(bucket).lowerBound
    let own = partition.range(of: rank, inBucket: bucket)
    var got = 0
    for other in 0..<size {
      let part = partition.range(of: other, inBucket: bucket)
      partCounts.initializeElement(at: other, to: Int32(part.count))
      partOffsets.initializeElement(at: other, to: Int32(part.lowerBound - start))
      blocks.sendCounts[other] = Int32(part.count * rootCounts[rank])
      blocks.sendOffsets[other] = Int32((part.lowerBound - start) * rootCounts[rank])
      blocks.receiveCounts[other] = Int32(own.count * rootCounts[other])
      blocks.receiveOffsets[other] = Int32(got)
      got += own.count * rootCounts[other]
    }
  }

  deinit {
    partCounts.deallocate()
    partOffsets.deallocate()
  }
}
