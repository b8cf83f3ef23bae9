import Kernels
import Layers
import TensorStorage
import Testing

/// How much memory a block's calls need.
@Suite("block memory")
struct BlockMemoryTests {
  /// Heads of one channel: nearly all memory is that of tasks, whose number depends on the length.
  static func narrowHeads() -> any RecurrentBlock {
    var scope = ParameterScope(prefix: "")
    return Mamba2Configuration(hiddenSize: 8, headCount: 128, headDim: 1, stateSize: 128)
      .block(&scope)
  }

  @Test("a shorter segment may need more, and is provided for")
  func shorterSegments() {
    let block = Self.narrowHeads()
    func scratch(_ length: Int) -> Int {
      block.memory(SegmentDims(batch: 1, length: length)).scratch
    }
    #expect(scratch(960) > scratch(1024))
    let most = block.memory(upTo: SegmentDims(batch: 1, length: 1024)).scratch
    #expect(stride(from: 1, through: 1024, by: 31).allSatisfy { scratch($0) <= most })
    #expect(scratch(960) <= most)
  }

  @Test("nothing is shared by one part, and parts share state, transition and tail")
  func shares() {
    let block = Self.narrowHeads()
    #expect(block.memory(SegmentDims(batch: 2, length: 64)).shared == 0)
    let tail = 3 * (128 + 2 * 128)
    let wanted = 2 * (128 * 128 + 128 + tail)
    for parts in 2...3 {
      #expect(
        block.memory(SegmentDims(batch: 2, length: 64, parts: parts)).shared == wanted)
    }
  }
}
