import Kernels
import TensorStorage

/// Tokens that a block processes in one call: `batch` sequences, `length` tokens of each.
public struct SegmentDims: Sendable, Equatable {
  /// Sequences, `B`.
  public var batch: Int
  /// Tokens of each sequence in this segment, `T`.
  public var length: Int

  /// Describes `[batch, length]` tokens.
  public init(batch: Int, length: Int) {
    self.batch = batch
    self.length = length
  }

  /// Rows of every activation, `B * T`.
  public var rows: Int { batch * length }
}

/// Memory and tensors of one call of a block.
public struct BlockContext {
  /// The arena of parameters.
  public var parameters: Floats
  /// Activations that forward saves for backward, `savedCount(_:)` floats, this block's own.
  public var saved: Floats
  /// `scratchCount(_:)` floats, shared by all blocks.
  public var scratch: Floats
  /// The tokens.
  public var dims: SegmentDims
  /// Where documents begin among the tokens.
  public var history: DocumentHistory

  /// Names the memory.
  public init(
    parameters: Floats, saved: Floats, scratch: Floats, dims: SegmentDims,
    history: DocumentHistory = .none
  ) {
    self.parameters = parameters
    self.saved = saved
    self.scratch = scratch
    self.dims = dims
    self.history = history
  }
}

/// Shape of a linear map's weight.
public struct LinearShape: Sendable, Equatable {
  /// Numbers that come out for a token.
  public var outputs: Int
  /// Numbers that go in.
  public var inputs: Int

  /// Names the sizes.
  public init(outputs: Int, inputs: Int) {
    self.outputs = outputs
    self.inputs = inputs
  }
}

/// A residual block with a recurrent state: the one interface that models are built from.
///
/// A block computes `(y, next state) = f(x, state)` over a segment of tokens. Its backward takes the
/// gradients of `y` and of the next state and returns those of `x` and of the state it was given, so
/// a sequence may be cut into segments anywhere and its gradient stays that of the whole.
public protocol RecurrentBlock {
  /// Floats of state of `batch` sequences: the recurrent state and convolution tails.
  func stateCount(batch: Int) -> Int

  /// Floats of one sequence in each part of the state: the recurrent state, then convolution tails.
  ///
  /// A part of `batch` sequences is `[batch, floats]`; parts follow one another.
  var stateParts: [Int] { get }

  /// Floats that forward saves for backward.
  func savedCount(_ dims: SegmentDims) -> Int

  /// Floats of scratch for forward or backward, whichever needs more.
  func scratchCount(_ dims: SegmentDims) -> Int

  /// The block's linear maps, in the order of the forward pass.
  var linearShapes: [LinearShape] { get }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  var recurrenceFLOPsPerToken: Int { get }

  /// Computes `y` and the next state.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`, must be kept for backward.
  ///   - y: `[B, T, D]`, overwritten.
  ///   - state: the state before the first token; overwritten with that after the last one.
  ///   - context: parameters, activations and sizes of the segment.
  func forward(_ x: Floats, into y: Floats, stateInPlace state: Floats, _ context: BlockContext)

  /// Computes gradients. Uses up what forward saved.
  ///
  /// - Parameters:
  ///   - dx: in, the gradient of `y`; out, that of `x`.
  ///   - x: as given to forward.
  ///   - state: the state *before* the first token.
  ///   - dstate: in, the gradient of the state after the last token; out, of that before the first.
  ///   - gradients: the arena of gradients, added to.
  ///   - context: parameters, activations and sizes of the segment.
  func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats, gradients: Floats,
    _ context: BlockContext)
}

extension RecurrentBlock {
  /// Multiplications and additions of one token's forward pass, matrix products only.
  public var forwardFLOPsPerToken: Int {
    linearShapes.reduce(recurrenceFLOPsPerToken) { $0 + 2 * $1.outputs * $1.inputs }
  }
}
