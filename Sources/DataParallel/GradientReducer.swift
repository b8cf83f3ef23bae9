import Collectives
import ErrorReporting
import Foundation
import Kernels
import TensorStorage

/// How gradients are summed over ranks.
public struct ReductionOptions: Sendable, Equatable {
  /// Whether the sum follows the tree: the same bits on any number of ranks.
  ///
  /// Otherwise leaves are summed one after the other and ranks by MPI.
  public var reproducible: Bool
  /// Whether ranks exchange gradients while the last leaf's backward runs; only along the tree.
  public var overlaps: Bool
  /// Whether every rank gets only its own part of the sum.
  public var isSharded: Bool

  /// Names the options.
  public init(reproducible: Bool, overlaps: Bool = false, isSharded: Bool = false) {
    self.reproducible = reproducible
    self.overlaps = overlaps
    self.isSharded = isSharded
  }
}

/// Sums gradients over the micro-batches of a step and over ranks.
///
/// Along `ReductionTree` (`BucketExchange` across ranks), or plainly: leaves one after the other, then
/// `MPI_Allreduce`.
public final class GradientReducer {
  /// Seconds that the ranks spent on each other in a step.
  public struct Seconds: Sendable {
    /// Waited for after this rank's backward had ended.
    public var exposed = 0.0
    /// Spent while backward ran.
    public var overlapped = 0.0
  }

  /// How a step is divided.
  public let tree: ReductionTree
  /// How ranks are summed.
  public let options: ReductionOptions
  /// Who has which part of the sum; the whole for every rank unless sharded.
  public let partition: ArenaPartition

  private let communicator: Communicator
  private let buffers: [FloatBuffer]
  private let count: Int
  private let roots: [Range<Int>]
  private let exchange: BucketExchange?
  private let leafValues: UnsafeMutablePointer<Double>
  private let gathered: UnsafeMutablePointer<Double>
  private let mostLeaves: Int

  /// Depths of the buffers that hold the last root and its last leaf, which are added last.
  private var pending = 0..<0
  /// Elements from here on will not change any more in this step.
  private var finalFrom = 0
  private var failure: (any Error)?
  private var lastPoll: UInt64 = 0
  private var poll: () -> Void = {}

  /// Nanoseconds between two looks at the exchange during backward.
  private static let pollInterval: UInt64 = 100_000

  /// Time that the last step's exchange took.
  public private(set) var seconds = Seconds()

  /// Floats of memory that the reducer holds on a rank, the gradient itself included.
  public static func memory(
    count: Int, tree: ReductionTree, rank: Int, options: ReductionOptions
  ) -> Int {
    let own = (options.reproducible ? tree.bufferCount(of: rank) : 1) * count
    guard tree.ranks > 1, options.reproducible || options.isSharded else { return own }
    let partition = ArenaPartition(count: count, parts: tree.ranks)
    return own + BucketExchange.memory(partition, tree: tree, rank: rank)
  }

  /// Prepares for gradients of `count` elements; collective.
  ///
  /// - Throws: `CollectiveError`.
  public init(
    count: Int, tree: ReductionTree, communicator: Communicator, options: ReductionOptions
  ) throws {
    require(tree.ranks == communicator.size, "the tree is for another number of ranks")
    self.tree = tree
    self.options = options
    self.communicator = communicator
    self.count = count
    let (rank, size) = (communicator.rank, communicator.size)
    roots = tree.roots(of: rank)
    let bufferCount = options.reproducible ? tree.bufferCount(of: rank) : 1
    let buffers = (0..<bufferCount).map { _ in FloatBuffer(count: count) }
    self.buffers = buffers
    partition = ArenaPartition(count: count, parts: options.isSharded ? size : 1)
    exchange =
      size > 1 && (options.reproducible || options.isSharded)
      ? try BucketExchange(
        Array(buffers.prefix(max(roots.count, 1))), tree: tree,
        partition: ArenaPartition(count: count, parts: size), communicator: communicator,
        sharesSums: !options.isSharded) : nil
    mostLeaves = (0..<size).map { tree.leaves(of: $0).count }.max() ?? 1
    leafValues = .allocate(capacity: tree.leaves)
    gathered = .allocate(capacity: size * mostLeaves)
    poll = { [unowned self] in pollExchange() }
  }

  deinit {
    leafValues.deallocate()
    gathered.deallocate()
  }

  /// The summed gradient after `reduce`; sharded, only this rank's part of `partition` means anything.
  public var gradient: FloatBuffer { buffers[0] }

  /// This rank's part of `partition`.
  public var part: Int { options.isSharded ? communicator.rank : 0 }

  /// Computes this rank's leaves and sums everything.
  ///
  /// - Parameter leaf: (leaf, gradient arena to add to, whether it is this rank's last leaf) -> the
  ///   leaf's loss sum. The arena is zero along the tree, and holds the leaves before otherwise. During
  ///   the last leaf `gradientsAreFinal` may be called.
  /// - Returns: the sum of the leaves' losses over all ranks, in the order of the tree.
  /// - Throws: what `leaf` throws; `CollectiveError`.
  public func reduce(_ leaf: (Int, FloatBuffer, Bool) throws -> Double) throws -> Double {
    seconds = Seconds()
    finalFrom = count
    if options.reproducible {
      for (index, root) in roots.enumerated() {
        try evaluate(root, index, isLast: index == roots.count - 1, leaf)
      }
    } else {
      zero(buffers[0].pointer, count: count)
      for index in tree.leaves(of: communicator.rank) {
        leafValues[index] = try leaf(index, buffers[0], false)
      }
    }
    if options.reproducible { addPending(from: 0) }
    seconds.exposed = try timed {
      if options.reproducible {
        if let failure { throw failure }
        try exchange?.finish()
        return
      }
      guard communicator.size > 1 else { return }
      try communicator.barrier()
      if let exchange {
        try exchange.sumPlainly(buffers[0], communicator)
      } else {
        try communicator.sum(inPlace: buffers[0].pointer, count: count)
      }
    }
    return try sumOverRanks()
  }

  /// Says, during the last leaf, that its gradient from element `offset` on will not change any more.
  public func gradientsAreFinal(from offset: Int) {
    guard options.overlaps, exchange != nil, failure == nil else { return }
    do {
      addPending(from: offset)
      let spent = try timed { try exchange?.gradientsAreFinal(from: offset) }
      seconds.overlapped += spent
    } catch {
      failure = error
    }
  }

  /// Fills in the other ranks' parts of `values` where each has updated its own.
  public func shareParts(of values: FloatBuffer) throws {
    guard options.isSharded, let exchange else { return }
    let spent = try timed { try exchange.share(values) }
    seconds.exposed += spent
  }

  /// Fills in what other ranks have of an array in which every number is one rank's, others having 0.
  public func merge(_ values: UnsafeMutablePointer<Double>, count: Int) throws {
    guard options.isSharded, communicator.size > 1 else { return }
    try communicator.sum(inPlace: values, count: count)
  }

  private func timed(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }

  /// Adds the last leaf to what waits for it, from element `offset` on.
  private func addPending(from offset: Int) {
    let range = offset..<max(finalFrom, offset)
    for depth in pending.dropLast().reversed() {
      add(
        buffers[depth + 1].pointer + range.lowerBound, count: range.count,
        accumulatingInto: buffers[depth].pointer + range.lowerBound)
    }
    finalFrom = min(finalFrom, offset)
  }

  private func pollExchange() {
    let now = DispatchTime.now().uptimeNanoseconds
    guard now - lastPoll > Self.pollInterval, failure == nil else { return }
    do {
      try exchange?.poll()
    } catch {
      failure = error
    }
    lastPoll = DispatchTime.now().uptimeNanoseconds
    seconds.overlapped += Double(lastPoll - now) * 1e-9
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

  /// Sums a node that is all this rank's own into buffer `depth`; what its last leaf has to be added to
  /// is left to `addPending` if the node is the rank's last root.
  private func evaluate(
    _ node: Range<Int>, _ depth: Int, isLast: Bool,
    _ leaf: (Int, FloatBuffer, Bool) throws -> Double
  ) throws {
    if node.count == 1 {
      zero(buffers[depth].pointer, count: count)
      if isLast {
        pending = (roots.count - 1)..<(depth + 1)
        if options.overlaps, exchange != nil { ThreadPool.betweenJobs = poll }
      }
      defer { ThreadPool.betweenJobs = nil }
      leafValues[node.lowerBound] = try leaf(node.lowerBound, buffers[depth], isLast)
      return
    }
    let (left, right) = ReductionTree.split(node)
    try evaluate(left, depth, isLast: false, leaf)
    try evaluate(right, depth + 1, isLast: isLast, leaf)
    if !isLast {
      add(buffers[depth + 1].pointer, count: count, accumulatingInto: buffers[depth].pointer)
    }
  }
}
