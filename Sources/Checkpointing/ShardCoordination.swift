/// How the processes that save a checkpoint together talk to each other.
///
/// The only means is an all-gather of small messages, which is also the barrier: nobody has the
/// answers before everybody has asked. Each process writes one or several neighbouring shards; an
/// MPI program has `shardCount` = ranks and writes the one shard of its rank.
public protocol ShardCoordination {
  /// Shards of the whole checkpoint.
  var shardCount: Int { get }

  /// The shards that this process writes; the owner of shard 0 also commits.
  var localShards: Range<Int> { get }

  /// Sends a message for each local shard to everybody.
  ///
  /// - Parameter messages: one for each of `localShards`.
  /// - Returns: the messages of all shards, in their order.
  /// - Throws: when the others cannot be reached.
  func exchange(_ messages: [[UInt8]]) throws -> [[UInt8]]
}

/// One process that writes all shards itself.
public struct SingleProcess: ShardCoordination {
  /// Shards of the whole checkpoint.
  public let shardCount: Int

  /// All of them.
  public var localShards: Range<Int> { 0..<shardCount }

  /// Coordinates nobody.
  ///
  /// - Parameter shards: how many files to split the checkpoint into.
  public init(shards: Int = 1) {
    shardCount = shards
  }

  /// Returns the messages: there is nobody else.
  public func exchange(_ messages: [[UInt8]]) -> [[UInt8]] { messages }
}
