// The state of a GLA layer is H x K x V. Merging its H heads into h makes it h x (HK/h) x (HV/h),
// that is H/h times larger, while every projection keeps its shape; only the output norm, one weight
// for each of a head's value channels, grows from V to HV/h. The query scale follows from the head's
// key channels and needs no weight. (StateX, arXiv:2509.22630, section 3.)
//
// H heads before, h after, m = H / h merged into one; K, V key and value channels of a head before.

import LanguageModels
import Layers
import TensorStorage

extension GLAFamily: ExpandableFamily {
  /// Heads after merging; one if it is left out.
  public var sizeOption: ExpansionSizeOption {
    ExpansionSizeOption(
      "heads", default: 1, "heads after merging", limit: "divides the layer's heads")
  }

  /// The expansion of a GLA layer.
  public func expansion(
    of layer: LayerConfiguration, index: Int, plan: ExpansionPlan
  ) throws(ExpansionError) -> any LayerExpansion {
    guard let block = layer.of(GLAConfiguration.self) else {
      throw .layers(problem: "layer \(index) is no GLA layer")
    }
    return try GLAExpansion(of: block, index: index, plan: plan)
  }

  /// GLA layers are never padded: they must be equal and of the family's own kind.
  public func padding(
    _ layers: [LayerConfiguration]
  ) throws(ExpansionError) -> [any LayerExpansion]? {
    guard let first = layers.first else { return nil }
    for (index, layer) in layers.enumerated() {
      guard layer.of(GLAConfiguration.self)?.hasHeadMixing != true else {
        throw .uniform(
          problem:
            "layer \(index) mixes its heads (init: preserve), which no GLA program but statex"
            + " knows")
      }
      guard layer == first else {
        throw .uniform(
          problem: "layer \(index) has a state of \(layer.stateShape) and layer 0 one of"
            + " \(first.stateShape), and a merged GLA layer is no padded form of its neighbours;"
            + " expand every layer, or leave out --uniform")
      }
    }
    return nil
  }
}

/// The expansion of one GLA layer.
struct GLAExpansion: LayerExpansion {
  /// Gain of the Xavier-uniform draw of every projection.
  static let gain = 0x1.6a09e667f3bcdp-3  // 2^-2.5

  /// The layer before.
  let present: GLAConfiguration
  /// The layer after.
  let expanded: GLAConfiguration

  /// The layer after.
  var expandedLayer: LayerConfiguration { .gla(expanded) }

  private let plan: ExpansionPlan
  /// For each key and value head after, and each of the `m` blocks of its channels: the key and value
  /// head before whose channels stand there.
  private let sharedHeadSources: [Int]

  /// Checks that the plan fits the layer.
  init(of layer: GLAConfiguration, index: Int, plan: ExpansionPlan) throws(ExpansionError) {
    let heads = plan.size.value
    guard !layer.hasHeadMixing else {
      throw .layers(
        problem: "layer \(index) was expanded by init: preserve and cannot be expanded again")
    }
    guard heads > 0, layer.headCount % heads == 0 else {
      throw .size(
        field: "heads", value: heads,
        problem: "must divide the \(layer.headCount) heads of layer \(index)")
    }
    present = layer
    self.plan = plan
    guard plan.initialization != .preserve else {
      guard heads == 1 else {
        throw .size(
          field: "heads", value: heads,
          problem: "init: preserve joins all \(layer.headCount) heads of layer \(index); use 1")
      }
      var mixing = layer
      mixing.hasHeadMixing = layer.headCount > 1
      expanded = mixing
      sharedHeadSources = []
      return
    }
    expanded = layer.dividedIntoHeads(heads)
    guard let sources = Self.sharedHeadSources(from: layer, to: expanded) else {
      guard plan.initialization != .inherit else {
        throw .size(
          field: "heads", value: heads,
          problem: "layer \(index) shares \(layer.keyValueHeadCount) key and value heads, which its"
            + " \(layer.headCount) heads would have to split; use init: reinitialize")
      }
      sharedHeadSources = []
      return
    }
    sharedHeadSources = sources
  }

  /// Nil when heads that share a key and value head afterwards did not share the same ones before.
  private static func sharedHeadSources(
    from present: GLAConfiguration, to expanded: GLAConfiguration
  ) -> [Int]? {
    let merged = present.headCount / expanded.headCount
    var sources: [Int] = []
    for sharedHead in 0..<expanded.keyValueHeadCount {
      let first = sharedHead * expanded.groupSize * merged
      let blocks = (0..<merged).map { (first + $0) / present.groupSize }
      for head in 1..<max(expanded.groupSize, 1) {
        let others = (0..<merged).map { (first + head * merged + $0) / present.groupSize }
        guard others == blocks else { return nil }
      }
      sources += blocks
    }
    return sources
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
    switch plan.initialization {
    case .reinitialize, .paper: reinitialize(arena, prefix: prefix)
    case .inherit: inherit(arena, from: parameters, prefix: prefix)
    case .preserve: mixNothing(arena, prefix: prefix)
    }
  }

  /// Coefficients with which each head reads its own keys and no others, as it did.
  private func mixNothing(_ arena: ParameterArena, prefix: String) -> [String] {
    guard let name = expanded.mixer(prefix: prefix).headMixing?.weight.name else { return [] }
    for specification in expanded.parameters(
      prefix: prefix, initialization: ScratchInitialization())
    where specification.name == name {
      guard let elements = arena[name] else { continue }
      specification.initializer.fill(
        elements, shape: specification.shape, name: name, seed: plan.seed)
    }
    return [name]
  }

  /// The token mixer and its norm afresh: Xavier-uniform projections, zero gate bias, norms of one,
  /// short convolutions as in a new layer.
  private func reinitialize(_ arena: ParameterArena, prefix: String) -> [String] {
    let specifications = expanded.mixerParameters(prefix: prefix) { _ in
      .xavierUniform(gain: Self.gain)
    }
    for specification in specifications {
      guard let elements = arena[specification.name] else { continue }
      // The stream's name differs from that of a model from scratch, which may have the same seed.
      specification.initializer.fill(
        elements, shape: specification.shape, name: "expansion/" + specification.name,
        seed: plan.seed)
    }
    return specifications.map(\.name)
  }

  /// Every weight kept: the norm's weight once for each merged head, and the rows of shared keys and
  /// values repeated where heads that shared them no longer do.
  private func inherit(
    _ arena: ParameterArena, from parameters: ParameterArena, prefix: String
  ) -> [String] {
    var written: [String] = []
    func rewrite(_ slot: ParameterSlot?, _ copy: (Elements, Elements) -> Void) {
      guard let slot, let source = parameters[slot.name], let target = arena[slot.name] else {
        return
      }
      copy(source, target)
      written.append(slot.name)
    }
    let mixer = expanded.mixer(prefix: prefix)
    rewrite(mixer.outputNorm.weight) { source, target in
      for i in target.indices { target[i] = source[i % source.count] }
    }
    // Their rows are the key and value heads' channels.
    let ofSharedHeads =
      [mixer.key.weight, mixer.value.weight, mixer.forgetGate.logits.weight, mixer.forgetGate.bias]
      + mixer.convolutions.dropFirst().map(\.weight)
    for slot in ofSharedHeads { rewrite(slot) { copySharedHeads($0, to: $1) } }
    return written
  }

  private typealias Elements = UnsafeMutableBufferPointer<Float>

  /// Copies the rows of each key and value head to where they are used.
  private func copySharedHeads(_ source: Elements, to target: Elements) {
    let block = source.count / present.keyValueHeadCount
    for (position, sharedHead) in sharedHeadSources.enumerated() {
      let rows = source[(sharedHead * block)..<((sharedHead + 1) * block)]
      _ = target[(position * block)..<((position + 1) * block)].update(fromContentsOf: rows)
    }
  }
}
