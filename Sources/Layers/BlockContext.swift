import ErrorReporting
import Kernels
import TensorStorage

/// Tokens that a block processes in one call: `batch` sequences, `length` tokens of each.
public struct SegmentDims: Sendable, Equatable {
  /// Sequences, `B`.
  public var batch: Int
  /// Tokens of each sequence in this segment that are computed here, `T`.
  public var length: Int
  /// Ranks that share the segment, each with some `length` tokens of its own.
  public var parts: Int

  /// Describes `[batch, length]` tokens.
  public init(batch: Int, length: Int, parts: Int = 1) {
    require(batch >= 1 && length >= 1 && parts >= 1, "no tokens: \(batch) x \(length)")
    self.batch = batch
    self.length = length
    self.parts = parts
  }

  /// Rows of every activation, `B * T`.
  public var rows: Int { batch * length }
}

/// Memory and tensors of one call of a block.
///
/// A call on a context made by `measuring` takes memory from the plans as any other and runs no kernel:
/// that is how memory is planned.
public struct BlockContext {
  /// The arena of parameters.
  public var parameters: Floats
  /// The arena of gradients; nil in a forward pass, and in the backward pass of a frozen block.
  public var gradients: Floats?
  /// Activations that forward saves for backward, this block's own.
  public var saved: MemoryPlan
  /// Memory for one call, shared by all blocks.
  public var scratch: MemoryPlan
  /// The tokens.
  public let dims: SegmentDims
  /// Where documents begin among the tokens.
  public let history: DocumentHistory
  /// The part of the segment that the tokens are; nil when they are all of it.
  public let part: SegmentPart?

  /// Names the memory.
  ///
  /// - Precondition: `part` is one of `dims.parts`, and has `dims.length` tokens.
  public init(
    parameters: Floats, gradients: Floats? = nil, saved: MemoryPlan, scratch: MemoryPlan,
    dims: SegmentDims, history: DocumentHistory = .none, part: SegmentPart? = nil
  ) {
    require(
      part?.parts ?? 1 == dims.parts
        && part?.tokens.count ?? dims.length == dims.length,
      "the tokens are not this part's")
    self.parameters = parameters
    self.gradients = gradients
    self.saved = saved
    self.scratch = scratch
    self.dims = dims
    self.history = history
    self.part = part
  }

  /// A tensor's values.
  @inline(__always)
  public subscript(_ slot: ParameterSlot) -> Floats { parameters + slot.offset }

  /// Where a tensor's gradient is added; nil without the tensor, and where it is not trained.
  public func gradient(_ slot: ParameterSlot?) -> Floats? {
    guard let slot, let gradients else { return nil }
    return gradients + slot.offset
  }

  /// Runs kernels, unless this call only measures memory.
  @inline(__always)
  public func run(_ kernels: () -> Void) {
    if !scratch.isMeasuring { kernels() }
  }

  /// Calls `body` with an operand that several products in it read.
  mutating func withSharedOperand(
    _ matrix: Matrix, _ body: (Matrix, inout BlockContext) -> Void
  ) {
    if scratch.isMeasuring {
      body(matrix, &self)
    } else {
      Kernels.withSharedOperand(matrix) { body($0, &self) }
    }
  }

  /// Calls `body` with an operand of several weights' gradients.
  ///
  /// In a frozen block nothing reads it, so it may hold anything and is not prepared.
  mutating func withWeightOperand(
    _ matrix: Matrix, _ body: (Matrix, inout BlockContext) -> Void
  ) {
    if gradients == nil { body(matrix, &self) } else { withSharedOperand(matrix, body) }
  }

  /// Requires that two areas of `count` floats have none in common, where there is memory.
  @inline(__always)
  func requireDisjoint(_ a: Floats, _ b: Floats, count: Int, _ what: @autoclosure () -> String) {
    if !scratch.isMeasuring { TensorStorage.requireDisjoint(a, b, count: count, what()) }
  }

  /// Lets the parts of the segment know each other's blocks of `count` floats.
  func gather(_ values: Floats, count: Int) {
    part?.group.gather(inPlace: values, count: count)
  }
}

// MARK: - Memory

/// Floats that calls of a block need.
public struct BlockMemory: Sendable, Equatable {
  /// Saved by forward for backward.
  public var saved = 0
  /// Scratch for forward or backward, whichever needs more.
  public var scratch = 0
  /// What a part of a shared segment tells the others in a forward pass, and again in a backward pass.
  public var shared = 0
}

/// Counts what the first part would tell the others.
private final class CountingGroup: SequenceGroup {
  let parts: Int
  let part = 0
  private(set) var count = 0

  init(parts: Int) { self.parts = parts }

  func gather(inPlace values: Floats, count: Int) { self.count += count }
}

extension RecurrentBlock {
  /// Floats that a call over `dims` needs: found by a call that runs no kernel.
  public func memory(_ dims: SegmentDims) -> BlockMemory {
    let group = CountingGroup(parts: dims.parts)
    func context() -> BlockContext {
      let nowhere = MemoryPlan.nowhere
      let part =
        dims.parts == 1
        ? nil
        : SegmentPart(
          SegmentSplit(
            length: dims.parts * dims.length, parts: dims.parts, capacity: dims.length),
          of: group)
      return BlockContext(
        parameters: nowhere, gradients: nowhere, saved: .measuring(), scratch: .measuring(),
        dims: dims, part: part)
    }
    let nowhere = MemoryPlan.nowhere
    var (ahead, back) = (context(), context())
    forward(nowhere, into: nowhere, stateInPlace: nowhere, &ahead)
    let shared = group.count
    backward(
      inPlace: nowhere, x: nowhere, state: nowhere, dstateInPlace: nowhere, &back)
    require(group.count == 2 * shared, "backward shares other than forward")
    require(ahead.saved.peak == back.saved.peak, "backward reads other than forward saves")
    return BlockMemory(
      saved: ahead.saved.peak, scratch: max(ahead.scratch.peak, back.scratch.peak),
      shared: shared)
  }

  /// Floats that calls over `dims` and every shorter length need.
  ///
  /// Cuts of the work depend on the length, so that a few chunks less can need a little more.
  public func memory(upTo dims: SegmentDims) -> BlockMemory {
    var most = memory(dims)
    for length in stride(from: dims.length - GLADims.chunk, to: 0, by: -GLADims.chunk) {
      let shorter = memory(SegmentDims(batch: dims.batch, length: length, parts: dims.parts))
      most.saved = max(most.saved, shorter.saved)
      most.scratch = max(most.scratch, shorter.scratch)
      most.shared = max(most.shared, shorter.shared)
    }
    return most
  }
}
