import TensorStorage

/// How a flat arena is split over shards.
public enum ShardPartition {
  /// The elements of one shard.
  ///
  /// The arena is split as evenly as possible at multiples of 16 elements, so that every boundary is
  /// aligned like a tensor. Shards may be empty when there are more of them than such units.
  ///
  /// - Parameters:
  ///   - index: the shard.
  ///   - shards: how many there are.
  ///   - count: elements of the arena.
  /// - Returns: a range of indices in the arena.
  /// - Precondition: `0 <= index < shards`.
  public static func range(of index: Int, shards: Int, count: Int) -> Range<Int> {
    precondition((0..<shards).contains(index), "there is no shard \(index) of \(shards)")
    let alignment = ParameterLayout.alignment
    let units = (count + alignment - 1) / alignment
    let start = min(units * index / shards * alignment, count)
    let end = min(units * (index + 1) / shards * alignment, count)
    return start..<end
  }
}
