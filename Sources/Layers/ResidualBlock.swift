import Kernels
import TensorStorage

/// `f` of a residual branch `x + f(norm(x))`.
///
/// Each pass has two halves, with the memory of the normed rows given back between them: one for what
/// reads those rows, the other for all the rest. What backward needs of `x` it recomputes.
public protocol ResidualBranch {
  /// Activations kept from forward to backward.
  associatedtype Saved
  /// Where backward leaves the gradients of what was projected.
  associatedtype Projected

  /// Takes memory for the activations.
  func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved

  /// Forward, first half: everything that reads the normed rows.
  ///
  /// - Parameters:
  ///   - x: the normed rows `[R, D]`.
  ///   - saved: the activations, filled in.
  ///   - wantsOutput: whether anything but the next state is wanted.
  ///   - context: the call.
  func project(_ x: Matrix, _ saved: Saved, wantsOutput: Bool, _ context: BlockContext)

  /// Forward, second half: from what was projected to the branch's output.
  ///
  /// - Parameters:
  ///   - out: `[R, D]`, added to; nil when only the next state is wanted.
  ///   - state: the branch's state, moved on over the segment.
  ///   - saved: the activations.
  ///   - context: the call.
  func finish(
    accumulatingInto out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext)

  /// Backward, first half: from the gradient of the output to those of what was projected, which may stay
  /// in scratch.
  ///
  /// - Parameters:
  ///   - dout: `[R, D]`.
  ///   - state: the branch's state before the segment.
  ///   - dstate: its gradient, moved back over the segment.
  ///   - saved: the activations, used up.
  ///   - context: the call.
  /// - Returns: where the gradients are.
  func finishBackward(
    _ dout: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) -> Projected

  /// Backward, second half: gradients of the projections' weights and of the normed rows.
  ///
  /// - Parameters:
  ///   - projected: what `finishBackward` returned.
  ///   - x: the normed rows `[R, D]`; not to be read in a frozen block.
  ///   - dx: `[R, D]`, overwritten.
  ///   - saved: the activations.
  ///   - context: the call.
  func projectBackward(
    _ projected: Projected, x: Matrix, into dx: Floats, _ saved: Saved,
    _ context: inout BlockContext)

  /// The branch in `Double`, of normed rows and from a state of zeros.
  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double]
}

/// A branch that mixes tokens by a recurrence: what tells one model family's block from another's.
public protocol TokenMixer: ResidualBranch {
  /// Numbers in one sequence's recurrent state.
  var recurrentStateCount: Int { get }
  /// The short convolutions, whose tails lie behind the recurrent state in this order.
  var convolutions: [ShortConvolution] { get }
  /// Multiplications and additions of one token in the recurrence, matrix products only.
  var recurrenceFLOPsPerToken: Int { get }
}

/// `x + f(norm(x))`.
public struct PreNormResidual<Branch: ResidualBranch> {
  let norm: RMSNorm
  let branch: Branch
  let width: Int

  /// What the norm and the branch keep.
  struct Saved {
    let rstd: RMSNorm.Saved
    let branch: Branch.Saved
  }

  /// Puts `norm` before `branch`.
  public init(_ norm: RMSNorm, _ branch: Branch) {
    (self.norm, self.branch, width) = (norm, branch, norm.width)
  }

  func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    Saved(rstd: norm.saved(&plan, dims), branch: branch.saved(&plan, dims))
  }

  /// `out = x + f(norm(x))`; only the next state without `out`.
  func forward(
    _ x: Floats, into out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    let (rows, mark) = (context.dims.rows, context.scratch.used)
    let normed = context.scratch.take(rows * width)
    norm.forward(x, into: normed, saved.rstd, context)
    context.withSharedOperand(Matrix(normed, rows, width)) { normed, context in
      branch.project(normed, saved.branch, wantsOutput: out != nil, context)
    }
    context.scratch.rewind(to: mark)
    if let out { context.run { copy(x, count: rows * width, into: out) } }
    branch.finish(accumulatingInto: out, stateInPlace: state, saved.branch, &context)
    context.scratch.rewind(to: mark)
  }

  /// Adds the branch's share to `dx`, the gradient of the output.
  func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    let (rows, mark) = (context.dims.rows, context.scratch.used)
    let projected = branch.finishBackward(
      dx, state: state, dstateInPlace: dstate, saved.branch, &context)
    let normed = context.scratch.take(rows * width)
    let dnormed = context.scratch.take(rows * width)
    if context.gradients != nil { norm.recompute(x, into: normed, saved.rstd, context) }
    context.withWeightOperand(Matrix(normed, rows, width)) { normed, context in
      branch.projectBackward(projected, x: normed, into: dnormed, saved.branch, &context)
    }
    norm.backward(dnormed, x: x, accumulatingInto: dx, saved.rstd, &context)
    context.scratch.rewind(to: mark)
  }

  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    zip(x, branch.reference(norm.reference(x, tensor), batch: batch, tensor)).map(+)
  }
}

/// A token mixer and perhaps an MLP, each a residual branch behind a norm of its own.
public struct ResidualBlock<Mixer: TokenMixer>: RecurrentBlock {
  let mixer: PreNormResidual<Mixer>
  let mlp: PreNormResidual<SwiGLU>?
  /// The block's linear maps, in the order of the forward pass.
  public let linearShapes: [LinearShape]
  /// Floats of one sequence's recurrent state and its convolutions' tails.
  public let stateParts: [Int]

  /// What the branches keep, and the rows between them.
  private struct Saved {
    let mixer: PreNormResidual<Mixer>.Saved
    /// The mixer's output and the MLP's input `[R, D]`, with its activations.
    let mlp: (middle: Floats, branch: PreNormResidual<SwiGLU>.Saved)?

    init(_ block: ResidualBlock, _ context: inout BlockContext) {
      mixer = block.mixer.saved(&context.saved, context.dims)
      mlp = block.mlp.map { mlp in
        let middle = context.saved.take(context.dims.rows * mlp.width)
        return (middle, mlp.saved(&context.saved, context.dims))
      }
    }
  }

  /// Joins branches whose tensors were declared in `scope`, and nothing else.
  public init(
    _ mixer: PreNormResidual<Mixer>, _ mlp: PreNormResidual<SwiGLU>?, _ scope: ParameterScope
  ) {
    (self.mixer, self.mlp, linearShapes) = (mixer, mlp, scope.linearShapes)
    stateParts =
      [mixer.branch.recurrentStateCount] + mixer.branch.convolutions.map(\.tailCount)
  }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  public var recurrenceFLOPsPerToken: Int { mixer.branch.recurrenceFLOPsPerToken }

  /// Mixes tokens, then channels, as `RecurrentBlock` says.
  public func forward(
    _ x: Floats, into y: Floats?, stateInPlace state: Floats, _ context: inout BlockContext
  ) {
    if let y {
      context.requireDisjoint(
        x, y, count: context.dims.rows * mixer.width, "a block's input and its output")
    }
    let mark = context.saved.used
    let saved = Saved(self, &context)
    if let mlp, let kept = saved.mlp {
      mixer.forward(
        x, into: y.map { _ in kept.middle }, stateInPlace: state, saved.mixer, &context)
      if let y { mlp.forward(kept.middle, into: y, stateInPlace: state, kept.branch, &context) }
    } else {
      mixer.forward(x, into: y, stateInPlace: state, saved.mixer, &context)
    }
    context.saved.rewind(to: mark)
  }

  /// Gradients of `forward`, as `RecurrentBlock` says.
  public func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats,
    _ context: inout BlockContext
  ) {
    context.requireDisjoint(
      x, dx, count: context.dims.rows * mixer.width, "a block's input and its gradient")
    context.requireDisjoint(
      state, dstate, count: stateCount(batch: context.dims.batch), "a state and its gradient")
    let mark = context.saved.used
    let saved = Saved(self, &context)
    if let mlp, let kept = saved.mlp {
      mlp.backward(
        inPlace: dx, x: kept.middle, state: state, dstateInPlace: dstate, kept.branch, &context)
    }
    mixer.backward(
      inPlace: dx, x: x, state: state, dstateInPlace: dstate, saved.mixer, &context)
    context.saved.rewind(to: mark)
  }

  /// The block in `Double`, from a state of zeros.
  public func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let middle = mixer.reference(x, batch: batch, tensor)
    return mlp?.reference(middle, batch: batch, tensor) ?? middle
  }
}
