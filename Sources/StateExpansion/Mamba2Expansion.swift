// The state of a Mamba2 layer is N x P for each of its H heads. Making N f times larger needs f times as
// many channels of B and C: rows of in_proj ([z | x | B | C | dt]) and channels of the short convolution
// ([x | B | C]). B and C have G groups of N channels each; a group's old channels stay its first ones.
// Nothing else depends on N. (StateX, arXiv:2509.22630, section 3.)

import ErrorReporting
import Foundation
import LanguageModels
import Layers
import TensorStorage

extension Mamba2Family: ExpandableFamily {
  /// How many times larger the state size becomes; four times if it is left out.
  public var sizeOption: ExpansionSizeOption {
    ExpansionSizeOption(
      "state_factor", default: 4, "factor on the state size",
      limit: "new state size <= \(Mamba2Expansion.largestState)")
  }

  /// The expansion of a Mamba2 layer.
  public func expansion(
    of layer: LayerConfiguration, index: Int, plan: ExpansionPlan
  ) throws(ExpansionError) -> any LayerExpansion {
    guard let block = layer.of(Mamba2Configuration.self) else {
      throw .layers(problem: "layer \(index) is no Mamba2 layer")
    }
    return try Mamba2Expansion(of: block, index: index, plan: plan)
  }

  /// What is known of two of the initializations.
  public func warnings(_ plan: ExpansionPlan) -> [String] {
    switch plan.initialization {
    case .paper:
      [
        "init: paper resets dt_bias, A_log and the gated norm as the published code does, which"
          + " discards trained time scales; use it for comparison, and reinitialize otherwise"
      ]
    case .inherit where plan.size.value != 1:
      [
        "init: inherit repeats B and C; the copies receive identical gradients for ever, so the"
          + " larger state holds nothing more, and the recurrence's output grows by the factor"
      ]
    default: []
    }
  }

  /// The new channels of `B` and `C` are zero and stay zero whatever the input, so the model computes
  /// what it did.
  public func padding(
    _ layers: [LayerConfiguration]
  ) throws(ExpansionError) -> [any LayerExpansion]? {
    let blocks = layers.compactMap { $0.of(Mamba2Configuration.self) }
    guard blocks.count == layers.count else { return nil }
    let stateSize = blocks.map(\.stateSize).max() ?? 0
    return blocks.map {
      Mamba2Expansion(of: $0, stateSize: stateSize, filling: .padding, seed: 0)
    }
  }
}

/// The expansion of one Mamba2 layer.
struct Mamba2Expansion: LayerExpansion {
  /// The largest state size.
  static let largestState = 1 << 16

  /// The layer before.
  let present: Mamba2Configuration
  /// The layer after.
  let expanded: Mamba2Configuration

  /// The layer after.
  var expandedLayer: LayerConfiguration { .mamba2(expanded) }

  private let filling: Mamba2Filling
  private let seed: UInt64

  /// Checks that the plan fits the layer.
  init(of layer: Mamba2Configuration, index: Int, plan: ExpansionPlan) throws(ExpansionError) {
    let factor = plan.size.value
    guard factor >= 1 else {
      throw .size(field: "state_factor", value: factor, problem: "must be at least 1")
    }
    let (size, overflows) = layer.stateSize.multipliedReportingOverflow(by: factor)
    guard !overflows, size <= Self.largestState else {
      throw .size(
        field: "state_factor", value: factor,
        problem: "the state size \(layer.stateSize) of layer \(index) would exceed"
          + " \(Self.largestState)")
    }
    self.init(
      of: layer, stateSize: size, filling: Mamba2Filling(plan.initialization), seed: plan.seed)
  }

  /// An expansion that is known to fit.
  ///
  /// - Precondition: `stateSize` is not below the layer's.
  init(of layer: Mamba2Configuration, stateSize: Int, filling: Mamba2Filling, seed: UInt64) {
    require(stateSize >= layer.stateSize, "a state does not shrink")
    present = layer
    var expanded = layer
    expanded.stateSize = stateSize
    self.expanded = expanded
    self.filling = filling
    self.seed = seed
  }

  /// Writes the tensors of the layer that are not plain copies.
  ///
  /// - Parameters:
  ///   - arena: the expanded model's parameters.
  ///   - parameters: the present model's.
  ///   - prefix: of the layer's keys.
  /// - Returns: the names of the tensors written.
  func fill(
    _ arena: ParameterArena, from parameters: ParameterArena, prefix: String
  ) -> [String] {
    let mixer = expanded.mixer(prefix: prefix)
    let draws = Draws(present)
    var written: [String] = []
    let convolution = mixer.convolution
    for (slot, rows, draw) in [
      (mixer.convolved.weight, Rows.projection, draws.weight),
      (mixer.convolved.bias, Rows.projection, draws.bias),
      (convolution.weight, Rows.convolution, draws.convolution),
      (convolution.bias, Rows.convolution, draws.convolution),
    ] {
      guard let slot, let source = parameters[slot.name], let target = arena[slot.name] else {
        continue
      }
      fill(Tensor(name: slot.name, source: source, target: target, rows: rows, draw: draw))
      written.append(slot.name)
    }
    if filling == .paper { written += resetTimeScales(arena, mixer) }
    return written
  }

  /// What the published code does besides: decay rates 1 to H, time steps softplus(1), norm 1.
  private func resetTimeScales(_ arena: ParameterArena, _ mixer: Mamba2Mixer) -> [String] {
    let rates = (1...expanded.headCount).map { Float(log(Double($0))) }
    let resets = [
      (mixer.aLog, rates), (mixer.stepBias, [1]), (mixer.gatedNorm.weight, [1]),
    ]
    var written: [String] = []
    for (slot, values) in resets {
      guard let slot, let elements = arena[slot.name] else { continue }
      for i in elements.indices { elements[i] = values[i % values.count] }
      written.append(slot.name)
    }
    return written
  }
}

/// What the channels of `B` and `C` hold after an expansion.
enum Mamba2Filling {
  /// All drawn afresh.
  case reinitialize
  /// All drawn afresh, and the layer's time scales and norm reset.
  case paper
  /// The old ones, repeated.
  case inherit
  /// The old ones, then new ones: drawn in `B`, exactly zero in `C`.
  case preserve
  /// The old ones, then zeros in both: new channels that never do anything.
  case padding

  init(_ initialization: ExpansionInitialization) {
    switch initialization {
    case .reinitialize: self = .reinitialize
    case .paper: self = .paper
    case .inherit: self = .inherit
    case .preserve: self = .preserve
    }
  }
}

// MARK: - One tensor

extension Mamba2Expansion {
  private typealias Elements = UnsafeMutableBufferPointer<Float>

  /// How new rows of each tensor are drawn: as torch's `Linear` and depthwise `Conv1d` by default,
  /// and no bias in the projection.
  private struct Draws {
    let weight, convolution: ParameterInitializer
    let bias = ParameterInitializer.zeros

    init(_ layer: Mamba2Configuration) {
      weight = .uniform(bound: 1 / Double(layer.hiddenSize).squareRoot())
      convolution = .uniform(bound: 1 / Double(layer.convolutionSize).squareRoot())
    }
  }

  /// What the rows of a tensor are.
  private enum Rows {
    /// Those of `in_proj`.
    case projection
    /// The channels of the convolution.
    case convolution

    func count(_ layout: Mamba2ProjectionLayout) -> Int {
      self == .projection ? layout.rowCount : layout.channelCount
    }
    func b(_ layout: Mamba2ProjectionLayout) -> Range<Int> {
      self == .projection ? layout.b : layout.bChannels
    }
    func c(_ layout: Mamba2ProjectionLayout) -> Range<Int> {
      self == .projection ? layout.c : layout.cChannels
    }
  }

  private struct Tensor {
    let name: String
    let source, target: Elements
    let rows: Rows
    let draw: ParameterInitializer
  }

  private func fill(_ tensor: Tensor) {
    let (old, new) = (present.projection, expanded.projection)
    let rows = tensor.rows
    let (b, c) = (rows.b(new), rows.c(new))
    copyRows(tensor, from: 0..<rows.b(old).lowerBound, to: 0)
    copyRows(tensor, from: rows.c(old).upperBound..<rows.count(old), to: c.upperBound)
    switch filling {
    case .reinitialize, .paper:
      draw(tensor, b, "B")
      draw(tensor, c, "C")
    case .inherit:
      copyGroups(tensor, from: rows.b(old), to: b, repeating: true)
      copyGroups(tensor, from: rows.c(old), to: c, repeating: true)
    case .preserve, .padding:
      tensor.target[(b.lowerBound * width(tensor))..<(c.upperBound * width(tensor))]
        .update(repeating: 0)
      if filling == .preserve {
        draw(tensor, b, "B")
        // A C channel is silu(convolution): with live rows in the projection, its zero convolution
        // gets a gradient from the first step on (silu'(0) = 1/2), and so does everything else after.
        if rows == .projection { draw(tensor, c, "C") }
      }
      copyGroups(tensor, from: rows.b(old), to: b, repeating: false)
      copyGroups(tensor, from: rows.c(old), to: c, repeating: false)
    }
  }

  /// Elements of one row.
  private func width(_ tensor: Tensor) -> Int {
    tensor.target.count / tensor.rows.count(expanded.projection)
  }

  private func copyRows(_ tensor: Tensor, from range: Range<Int>, to row: Int) {
    let width = width(tensor)
    let source = tensor.source[(range.lowerBound * width)..<(range.upperBound * width)]
    let target = tensor.target[(row * width)..<((row + range.count) * width)]
    _ = target.update(fromContentsOf: source)
  }

  /// Copies each group's old channels to the start of its new ones, or over and over until full.
  private func copyGroups(
    _ tensor: Tensor, from old: Range<Int>, to new: Range<Int>, repeating: Bool
  ) {
    let (before, after) = (present.stateSize, expanded.stateSize)
    for group in 0..<present.groupCount {
      let source = old.lowerBound + group * before
      for start in stride(from: 0, to: repeating ? after : before, by: before) {
        copyRows(
          tensor, from: source..<(source + before), to: new.lowerBound + group * after + start)
      }
    }
  }

  /// Draws rows; the stream's name differs from that of a model from scratch, which may have the same
  /// seed.
  private func draw(_ tensor: Tensor, _ range: Range<Int>, _ part: String) {
    let width = width(tensor)
    let elements = Elements(
      rebasing: tensor.target[(range.lowerBound * width)..<(range.upperBound * width)])
    tensor.draw.fill(
      elements, shape: [range.count, width], name: "expansion/\(tensor.name)/\(part)", seed: seed)
  }
}
