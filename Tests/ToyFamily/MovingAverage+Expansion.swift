import LanguageModels
import Layers
import StateExpansion
import TensorStorage

extension MovingAverageFamily: ExpandableFamily {
  var sizeOption: ExpansionSizeOption {
    ExpansionSizeOption(
      "channel_factor", default: 2, "factor on the channels", limit: "channels <= 4194304")
  }

  func expansion(
    of layer: LayerConfiguration, index: Int, plan: ExpansionPlan
  ) throws(ExpansionError) -> any LayerExpansion {
    guard let present = layer.of(MovingAverageConfiguration.self) else {
      throw .layers(problem: "layer \(index) is no moving average")
    }
    return MovingAverageExpansion(present: present, plan: plan)
  }
}

/// More averages: the old ones first, new ones drawn, and not read at first with `init: preserve`.
struct MovingAverageExpansion: LayerExpansion {
  let present: MovingAverageConfiguration
  let plan: ExpansionPlan

  private var expanded: MovingAverageConfiguration {
    var expanded = present
    expanded.channels *= plan.size.value
    return expanded
  }

  var expandedLayer: LayerConfiguration { LayerConfiguration(expanded) }

  func fill(
    _ arena: ParameterArena, from parameters: ParameterArena, prefix: String
  ) -> [String] {
    var scope = ParameterScope(prefix: prefix)
    _ = expanded.block(&scope)
    let mixer = scope.specifications.filter { $0.name.contains("mixer.") }
    for parameter in mixer {
      guard let source = parameters[parameter.name], let target = arena[parameter.name] else {
        continue
      }
      parameter.initializer.fill(
        target, shape: parameter.shape, name: "expansion/" + parameter.name, seed: plan.seed)
      guard plan.initialization == .preserve else { continue }
      if parameter.name.hasSuffix("out_proj.weight") {
        for i in target.indices {
          let (row, column) = (i / expanded.channels, i % expanded.channels)
          target[i] =
            column < present.channels ? source[row * present.channels + column] : 0
        }
      } else {
        _ = target[..<source.count].update(fromContentsOf: source)
      }
    }
    return mixer.map(\.name)
  }
}
