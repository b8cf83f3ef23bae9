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
    self.batch = batch
    self.length = length
    self.parts = parts
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
  /// The part of the segment that the tokens are; nil when they are all of it.
  public var parts: SequenceParts?

  /// Names the memory.
  ///
  /// - Precondition: `parts` has `dims.parts` parts, and part `parts.part` has `dims.length` tokens.
  public init(
    parameters: Floats, saved: Floats, scratch: Floats, dims: SegmentDims,
    history: DocumentHistory = .none, parts: SequenceParts? = nil
  ) {
    precondition(
      parts?.split.parts ?? 1 == dims.parts
        && parts.map { $0.split[$0.part].count } ?? dims.length == dims.length,
      "the tokens are not this part's")
    self.parameters = parameters
    self.saved = saved
    self.scratch = scratch
    self.dims = dims
    self.history = history
    self.parts = parts
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
///
/// Ranks that share a segment (`BlockContext.parts`) each give their own tokens' rows, and all the same
/// states: those before and after the whole segment. Their blocks exchange what they need.
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

  /// Floats that a part of a shared segment tells the others in a forward pass, and again in a backward
  /// pass; 0 for `dims.parts == 1`.
  func shareCount(_ dims: SegmentDims) -> Int

  /// The block's linear maps, in the order of the forward pass.
  var linearShapes: [LinearShape] { get }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  var recurrenceFLOPsPerToken: Int { get }

  /// Computes `y` and the next state.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`, must be kept for backward.
  ///   - y: `[B, T, D]`, overwritten; nil when only the next state is wanted: then no backward follows.
  ///   - state: the state before the first token; overwritten with that after the last one.
  ///   - context: parameters, activations and sizes of the segment.
  func forward(_ x: Floats, into y: Floats?, stateInPlace state: Floats, _ context: BlockContext)

  /// Computes gradients. Uses up what forward saved.
  ///
  /// - Parameters:
  ///   - dx: in, the gradient of `y`; out, that of `x`.
  ///   - x: as given to forward.
  ///   - state: the state *before* the first token.
  ///   - dstate: in, the gradient of the state after the last token; out, of that before the first.
  ///   - gradients: the arena of gradients, added to; nil when the block is frozen: then only `dx` and
  ///     `dstate` are computed.
  ///   - context: parameters, activations and sizes of the segment.
  func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats, gradients: Floats?,
    _ context: BlockContext)
}

extension RecurrentBlock {
  /// Multiplications and additions of one token's forward pass, matrix products only.
  public var forwardFLOPsPerToken: Int {
    linearShapes.reduce(recurrenceFLOPsPerToken) { $0 + 2 * $1.outputs * $1.inputs }
  }
}
