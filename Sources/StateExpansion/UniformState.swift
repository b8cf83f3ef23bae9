import LanguageModels
import Layers
import TensorStorage

/// Makes all layers of a model equal, so that programs that know one shape for all layers can run it.
///
/// Layers of a Mamba2 model get the largest of their state sizes. The new channels of `B` and `C` are
/// zero and stay zero whatever the input, so the model computes what it did. Trained further, the
/// padding would stay dead, since neither channel ever gives the other a gradient.
///
/// A GLA model comes back as it is where all its layers are equal already, and is refused where they
/// are not: a merged layer is no padded form of its neighbours.
///
/// - Parameters:
///   - configuration: the model's configuration.
///   - parameters: its parameters, not changed.
/// - Returns: configuration and parameters of the padded model; its base is what all layers are.
/// - Throws: `ExpansionError.uniform` for a GLA model whose layers differ or have head mixing.
/// - Precondition: `parameters` has the layout of `configuration`.
public func padToUniformState(
  configuration: ModelConfiguration, parameters: ParameterArena
) throws(ExpansionError) -> (ModelConfiguration, ParameterArena) {
  guard let expansions = try configuration.family.expandable.padding(configuration.layers) else {
    return (configuration, parameters)
  }
  var padded = configuration
  padded.layers = expansions.map(\.expandedLayer)
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
        fatalError("tensor \(slot.name) changed its size without being rewritten")
      }
      _ = arena.elements(slot).update(fromContentsOf: source)
    }
    return arena
  }
}
