import Kernels
import TensorStorage

/// A residual block with a recurrent state: the one interface that models are built from.
///
/// A block computes `(y, next state) = f(x, state)` over a segment of tokens. Its backward takes the
/// gradients of `y` and of the next state and returns those of `x` and of the state it was given, so
/// a sequence may be cut into segments anywhere and its gradient stays that of the whole.
///
/// Ranks that share a segment (`BlockContext.part`) each give their own tokens' rows, and all the same
/// states: those before and after the whole segment. Their blocks exchange what they need.
///
/// Both passes take their memory from the context's plans and give it back, in the same order for the same
/// sizes; on a measuring context they run no kernel and follow no pointer (`memory(_:)`).
public protocol RecurrentBlock {
  /// Floats of one sequence in each part of the state: the recurrent state, then convolution tails.
  ///
  /// A part of `batch` sequences is `[batch, floats]`; parts follow one another.
  var stateParts: [Int] { get }

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
  func forward(
    _ x: Floats, into y: Floats?, stateInPlace state: Floats, _ context: inout BlockContext)

  /// Computes gradients. Uses up what forward saved.
  ///
  /// Weights' gradients are added to the context's arena; without one the block is frozen, and only `dx` and
  /// `dstate` are computed.
  ///
  /// - Parameters:
  ///   - dx: in, the gradient of `y`; out, that of `x`.
  ///   - x: as given to forward.
  ///   - state: the state *before* the first token.
  ///   - dstate: in, the gradient of the state after the last token; out, of that before the first.
  ///   - context: parameters, gradients, activations and sizes of the segment.
  func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats,
    _ context: inout BlockContext)

  /// The naive twin: the output in `Double` from a state of zeros.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - batch: sequences.
  ///   - tensor: values of the block's parameters.
  /// - Returns: `[B, T, D]`.
  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double]
}

extension RecurrentBlock {
  /// Floats of state of `batch` sequences: the recurrent state and convolution tails.
  public func stateCount(batch: Int) -> Int { batch * stateParts.reduce(0, +) }

  /// Multiplications and additions of one token's forward pass, matrix products only.
  public var forwardFLOPsPerToken: Int {
    linearShapes.reduce(recurrenceFLOPsPerToken) { $0 + 2 * $1.outputs * $1.inputs }
  }
}
