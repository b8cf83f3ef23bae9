import Kernels
import TensorStorage

/// One Mamba2 block: `x += out_proj(norm(y * silu(z)))`.
///
/// `[z | x | B | C | dt] = in_proj(rmsnorm(x))`; a causal convolution and a SiLU over `[x | B | C]`;
/// `dt = clamp(softplus(dt + dt_bias))`; `y` is the state space recurrence of those plus `D x`
/// (arXiv:2405.21060; agrees with transformers' `Mamba2Block`). The naive twin is `ReferenceModel`.
public struct Mamba2Block: RecurrentBlock {
  /// Shape and options.
  public let configuration: Mamba2Configuration

  let layout: Mamba2ProjectionLayout
  let offsets: Offsets

  /// Where the block's tensors start in the arenas.
  struct Offsets {
    let norm, input, convolution, stepBias, aLog, skip, gatedNorm, output: Int
    let inputBias, convolutionBias, outputBias: Int?
  }

  /// Finds the block's tensors in `layout`.
  ///
  /// - Parameters:
  ///   - configuration: shape and options.
  ///   - prefix: for example `backbone.layers.0.`.
  ///   - layout: the model's arena layout.
  /// - Precondition: the layout was made from the same configuration.
  public init(_ configuration: Mamba2Configuration, prefix: String, layout: ParameterLayout) {
    self.configuration = configuration
    self.layout = configuration.projection
    func optional(_ name: String) -> Int? { layout[prefix + name]?.offset }
    func offset(_ name: String) -> Int {
      guard let offset = optional(name) else {
        preconditionFailure("the layout has no \(prefix)\(name)")
      }
      return offset
    }
    offsets = Offsets(
      norm: offset("norm.weight"), input: offset("mixer.in_proj.weight"),
      convolution: offset("mixer.conv1d.weight"), stepBias: offset("mixer.dt_bias"),
      aLog: offset("mixer.A_log"), skip: offset("mixer.D"),
      gatedNorm: offset("mixer.norm.weight"), output: offset("mixer.out_proj.weight"),
      inputBias: optional("mixer.in_proj.bias"), convolutionBias: optional("mixer.conv1d.bias"),
      outputBias: optional("mixer.out_proj.bias"))
  }

  // MARK: Shapes

  func recurrenceDims(_ dims: SegmentDims) -> SSDDims {
    SSDDims(
      batch: dims.batch, length: dims.length, heads: configuration.headCount,
      headDim: configuration.headDim, groups: configuration.groupCount,
      stateSize: configuration.stateSize, inputStride: layout.channelCount)
  }

  func convolutionDims(_ dims: SegmentDims) -> ConvolutionDims {
    ConvolutionDims(
      batch: dims.batch, length: dims.length, channels: layout.channelCount,
      taps: configuration.convolutionSize)
  }

  func normDims(_ dims: SegmentDims) -> HeadNormDims {
    let groups = configuration.normGroupCount
    return HeadNormDims(
      rows: dims.rows, heads: groups, width: configuration.innerSize / groups,
      epsilon: configuration.normEpsilon)
  }

  /// Floats of state of `batch` sequences: the recurrent state, then the convolution tail.
  public func stateCount(batch: Int) -> Int {
    batch * (configuration.recurrentStateCount + configuration.convolutionStateCount)
  }

  /// Floats of one sequence's recurrent state and its convolution's tail.
  public var stateParts: [Int] {
    [configuration.recurrentStateCount, configuration.convolutionStateCount]
  }

  /// Floats that forward saves for backward.
  public func savedCount(_ dims: SegmentDims) -> Int {
    var plan = MemoryPlan.measuring()
    _ = Saved(&plan, self, dims)
    return plan.peak
  }

  /// Floats of scratch for forward or backward, whichever needs more.
  public func scratchCount(_ dims: SegmentDims) -> Int {
    let (c, rows) = (configuration, dims.rows)
    let kernels = max(
      convolutionDims(dims).scratchCount, recurrenceDims(dims).backwardScratchCount)
    // The recurrence's inputs; then, one after the other in the same place, what the kernels need and
    // the projection's input and its gradient.
    let inputs =
      rows * (layout.channelCount + c.headCount) + c.headCount + partsScratchCount(dims)
    let forward = max(rows * max(c.hiddenSize, c.innerSize), inputs + kernels)
    let backward =
      rows * (layout.channelCount + c.headCount) + inputs
      + max(kernels, rows * 2 * c.hiddenSize) + partialCount(dims)
    return max(forward, backward, rows * c.innerSize + partialCount(dims)) + 64 * 16
  }

  /// Floats of scratch for sums over tiles of rows.
  func partialCount(_ dims: SegmentDims) -> Int {
    let width = max(configuration.hiddenSize, configuration.innerSize, layout.channelCount)
    return max(RowTiles(dims.rows).count * width, gatedRMSNormScratchCount(normDims(dims)))
  }

  /// The block's linear maps, in the order of the forward pass.
  public var linearShapes: [LinearShape] {
    let c = configuration
    return [layout.z, layout.convolved, layout.dt].map {
      LinearShape(outputs: $0.count, inputs: c.hiddenSize)
    } + [LinearShape(outputs: c.hiddenSize, inputs: c.innerSize)]
  }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  public var recurrenceFLOPsPerToken: Int {
    let c = configuration
    return 2
      * (2 * c.recurrentStateCount + SSDDims.chunk * (c.groupCount * c.stateSize + c.innerSize))
  }

  /// Activations kept from forward to backward.
  struct Saved {
    /// `z`, the convolution's input and the time steps' logits, as projected.
    let z, projected, steps: Floats
    /// The gated norm's input: the recurrence's output with the `D` term.
    let y: Floats
    let rstd, gatedRstd: Floats
    /// The state before this part of a shared segment.
    let start: Floats

    init(_ plan: inout MemoryPlan, _ block: Mamba2Block, _ dims: SegmentDims) {
      let (c, rows) = (block.configuration, dims.rows)
      z = plan.take(rows * c.innerSize)
      projected = plan.take(rows * block.layout.channelCount)
      steps = plan.take(rows * c.headCount)
      y = plan.take(rows * c.innerSize)
      rstd = plan.take(rows)
      gatedRstd = plan.take(rows * c.normGroupCount)
      start = plan.take(dims.parts > 1 ? block.stateCount(batch: dims.batch) : 0)
    }
  }

  /// Parts of the block's state.
  struct State {
    let recurrent, tail: Floats

    init(_ base: Floats, _ block: Mamba2Block, batch: Int) {
      recurrent = base
      tail = base + batch * block.configuration.recurrentStateCount
    }
  }
}
