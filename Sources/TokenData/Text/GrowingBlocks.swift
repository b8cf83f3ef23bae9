/// How samples are divided that come in one after the other, so that they can be shuffled before the last one is
/// there.
///
/// The first block has a fixed number of samples; each later one has as many as all before it. So a
/// block's samples are there as soon as twice as many are as were used before it, and half of all samples
/// are shuffled among each other.
package struct GrowingBlocks: Equatable {
  /// Samples of the first block.
  package let first: Int

  /// A block.
  package struct Block: Equatable {
    /// Which one, counted from 0.
    package var number: Int
    /// Its samples.
    package var samples: Range<Int>

    /// Names both.
    package init(number: Int, samples: Range<Int>) {
      (self.number, self.samples) = (number, samples)
    }
  }

  /// Blocks for samples of some length.
  ///
  /// - Parameters:
  ///   - firstTokens: tokens of the first block, which has one sample at least.
  ///   - sequenceLength: tokens of a sample.
  package init(firstTokens: Int, sequenceLength: Int) {
    first = max(firstTokens / sequenceLength, 1)
  }

  /// The block of a sample.
  package func block(of sample: Int) -> Block {
    guard sample >= first else { return Block(number: 0, samples: 0..<first) }
    let doublings = Int.bitWidth - 1 - (sample / first).leadingZeroBitCount
    return Block(number: doublings + 1, samples: (first << doublings)..<(first << (doublings + 1)))
  }
}
