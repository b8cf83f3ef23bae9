import LanguageModels
import Layers
import TensorStorage

/// Gives every layer of a Mamba2 model the largest of their state sizes.
///
/// The new channels of `B` and `C` are zero and stay zero whatever the input, so the model computes what
/// it did; programs that know one state size for all layers can then run it. Trained further, the
/// padding would stay dead, since neither channel ever gives the other a gradient.
///
/// - Parameters:
///   - configuration: the model's configuration.
///   - parameters: its parameters, not changed.
/// - Returns: configuration and parameters of the padded model; its base is what all layers are.
/// - Throws: `ExpansionError.uniform` for a model of another family.
/// - Precondition: `parameters` has the layout of `configuration`.
public func padToUniformState(
  configuration: ModelConfiguration, parameters: ParameterArena
) throws(ExpansionError) -> (ModelConfiguration, ParameterArena) {
  var layers: [Mamba2Configuration] = []
  for layer in configuration.layers {
    guard case .mamba2(let block) = layer else {
      throw .uniform(
        problem: "only Mamba2 models have one: a merged GLA layer is no padded form of its"
          + " neighbours")
    }
    layers.append(block)
  }
  let stateSize = layers.map(\.stateSize).max() ?? 0
  let expansions = layers.map {
    Mamba2Expansion(of: $0, stateSize: stateSize, filling: .padding, seed: 0)
  }
  var padded = configuration
  padded.layers = expansions.map { .mamba2($0.expanded) }
  if let first = padded.layers.first { padded.base = first }
  return (
    padded,
    parameters.copied(to: padded.layout()) { arena in
      expansions.indices.flatMap { index in
        expansions[index].fill(
          arena, from: parameters, prefix: configuration.family.layerPrefix(index))
      }
    }
  )
}

extension ParameterArena {
  /// A copy in another layout.
  ///
  /// - Parameters:
  ///   - layout: where the copy's tensors lie.
  ///   - rewrite: fills some of the copy's tensors and returns their names; all others are copied
  ///     bit for bit.
  /// - Returns: the copy.
  /// - Precondition: tensors that are not rewritten keep their size.
  func copied(
    to layout: ParameterLayout, rewrite: (ParameterArena) -> [String]
  ) -> ParameterArena {
    let arena = ParameterArena(layout: layout)
    let rewritten = Set(rewrite(arena))
    for slot in layout.slots where !rewritten.contains(slot.name) {
      guard let source = self[slot.name], source.count == slot.count else {
        preconditionFailure("tensor \(slot.name) changed its size without being rewritten")
      }
      _ = arena.elements(slot).update(fromContentsOf: source)
    }
    return arena
  }
}
