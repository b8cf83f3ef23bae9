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

  @Test("what is measured is what a call takes, and no shorter segment takes more than is provided")
  func measured() {
    let most = Calls.block.memory(upTo: SegmentDims(batch: 2, length: 150))
    for length in [1, 63, 64, 65, 128, 149, 150] {
      let calls = Calls(length: length)
      let taken = calls.run(scratch: calls.memory.scratch)
      #expect(taken.saved == calls.memory.saved && taken.scratch == calls.memory.scratch)
      #expect(taken.saved <= most.saved && taken.scratch <= most.scratch)
    }
  }

  @Test("a block whose scratch is too small ends the program with both numbers")
  func tooSmall() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let calls = Calls(length: 64)
      _ = calls.run(scratch: calls.memory.scratch - 16)
    }
    let scratch = Calls(length: 64).memory.scratch
    expect(result, says: "a plan of \(scratch - 16) elements is asked for \(scratch)")
  }

  @Test("a block that would write over its input ends the program")
  func aliased() async {
    let forward = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let calls = Calls(length: 64)
      _ = calls.run(scratch: calls.memory.scratch, output: calls.x)
    }
    expect(forward, says: "a block's input and its output overlap")
    let backward = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let calls = Calls(length: 64)
      _ = calls.run(scratch: calls.memory.scratch, dstate: calls.state)
    }
    expect(backward, says: "a state and its gradient overlap")
  }

  private func expect(
    _ result: ExitTest.Result?, says text: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains(text), "\(message)", sourceLocation: sourceLocation)
  }
}

/// Forward and backward of a small block over one segment, in memory of exactly the measured size.
private struct Calls {
  static let configuration = GLAConfiguration(
    hiddenSize: 24, headCount: 4, keyDim: 16, valueDim: 24, intermediateSize: 20)
  static var block: any RecurrentBlock {
    var scope = ParameterScope(prefix: "")
    return configuration.block(&scope)
  }

  let block: any RecurrentBlock
  let dims: SegmentDims
  let memory: BlockMemory
  let x, y, dx, state, dstate, parameters, gradients: FloatBuffer

  init(length: Int) {
    configureBLAS()
    var layout = ParameterLayout()
    for parameter in Self.configuration.parameters(prefix: "", initialization: .init()) {
      layout.append(name: parameter.name, shape: parameter.shape)
    }
    var scope = ParameterScope(prefix: "", layout: layout)
    block = Self.configuration.block(&scope)
    dims = SegmentDims(batch: 2, length: length)
    memory = block.memory(dims)
    let rows = dims.rows * Self.configuration.hiddenSize
    (x, y, dx) = (FloatBuffer(count: rows), FloatBuffer(count: rows), FloatBuffer(count: rows))
    state = FloatBuffer(count: block.stateCount(batch: 2))
    dstate = FloatBuffer(count: block.stateCount(batch: 2))
    (parameters, gradients) = (FloatBuffer(count: layout.count), FloatBuffer(count: layout.count))
  }

  /// Runs both passes in so much scratch, and says how much they took.
  func run(
    scratch count: Int, output: FloatBuffer? = nil, dstate other: FloatBuffer? = nil
  ) -> (saved: Int, scratch: Int) {
    let (saved, scratch) = (FloatBuffer(count: memory.saved), FloatBuffer(count: count))
    var context = BlockContext(
      parameters: parameters.pointer, gradients: gradients.pointer,
      saved: MemoryPlan(saved.pointer, capacity: saved.count),
      scratch: MemoryPlan(scratch.pointer, capacity: count), dims: dims)
    block.forward(
      x.pointer, into: (output ?? y).pointer, stateInPlace: state.pointer, &context)
    block.backward(
      inPlace: dx.pointer, x: x.pointer, state: state.pointer,
      dstateInPlace: (other ?? dstate).pointer, &context)
    return (context.saved.peak, context.scratch.peak)
  }
}
