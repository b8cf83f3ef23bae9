import ErrorReporting
import Kernels
import TensorStorage

/// The Euclidean norm of a flat gradient, summed in `Double` over blocks of a fixed size, in order.
///
/// A block is a unit of `ArenaPartition`, so a rank that has only its own part of the gradient has
/// whole blocks, and the sum over all of them does not depend on how they were divided.
public final class GradientNorm {
  private let partials: UnsafeMutablePointer<Double>
  private let blockCount: Int
  private let ranges: [Range<Int>]

  /// Elements in a block.
  private static let block = ArenaPartition.Grain.standard.unit

  /// Prepares for gradients of `count` elements.
  public convenience init(count: Int) {
    self.init(ArenaPartition(count: count, parts: 1), part: 0)
  }

  /// Prepares for one rank's part of a gradient.
  ///
  /// - Precondition: the partition has the standard grain.
  public init(_ partition: ArenaPartition, part: Int) {
    require(partition.grain.unit == Self.block, "blocks and parts do not agree")
    blockCount = (partition.count + Self.block - 1) / Self.block
    ranges = partition.ranges(of: part)
    partials = .allocate(capacity: blockCount)
  }

  deinit { partials.deallocate() }

  /// The norm of `gradients`; NaN or infinite when any element is.
  public func callAsFunction(_ gradients: FloatBuffer) -> Double {
    self(gradients) { _, _ in }
  }

  /// The norm of a gradient that is divided among ranks; NaN or infinite if any element is.
  ///
  /// - Parameters:
  ///   - gradients: only this rank's part is read.
  ///   - merge: given the sums of all blocks, 0 for those of other ranks, fills in the missing ones.
  /// - Returns: the square root of the sum of all blocks.
  /// - Throws: what `merge` throws.
  public func callAsFunction(
    _ gradients: FloatBuffer,
    merge: (UnsafeMutablePointer<Double>, Int) throws -> Void
  ) rethrows -> Double {
    partials.update(repeating: 0, count: blockCount)
    for range in ranges {
      let job = (gradients.pointer + range.lowerBound, partials, range)
      parallelFor((range.count + Self.block - 1) / Self.block, job) { job, index in
        let (x, partials, range) = job
        let block = GradientNorm.block
        let first = index * block
        partials[range.lowerBound / block + index] = sumOfSquares(
          x + first, min(block, range.count - first))
      }
    }
    try merge(partials, blockCount)
    var sum = 0.0
    for index in 0..<blockCount { sum += partials[index] }
    return sum.squareRoot()
  }
}
