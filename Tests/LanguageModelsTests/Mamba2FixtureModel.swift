import Foundation
import LanguageModels
import Layers
import TensorStorage

/// The fields of transformers' `config.json` that describe a Mamba2 model.
private struct Mamba2Fields: Decodable {
  struct Layers: Decodable {
    struct Layer: Decodable { var state_size: Int }
    var layers: [String: Layer]
  }
  /// A number, or an infinity as transformers writes it.
  struct Bound: Decodable {
    var value: Float

    init(from decoder: any Decoder) throws {
      value = (try? decoder.singleValueContainer().decode(Float.self)) ?? .infinity
    }
  }
  var hidden_size, num_heads, head_dim, n_groups, state_size, conv_kernel: Int
  var num_hidden_layers, vocab_size: Int
  var use_bias, use_conv_bias, tie_word_embeddings: Bool
  var layer_norm_epsilon: Float
  var time_step_limit: [Bound]
  var statex: Layers?

  var configuration: ModelConfiguration {
    var base = Mamba2Configuration(
      hiddenSize: hidden_size, headCount: num_heads, headDim: head_dim, stateSize: state_size,
      groupCount: n_groups, normEpsilon: layer_norm_epsilon)
    base.convolutionSize = conv_kernel
    base.hasProjectionBias = use_bias
    base.hasConvolutionBias = use_conv_bias
    base.timeStepLimit = time_step_limit[0].value...time_step_limit[1].value
    let layers = (0..<num_hidden_layers).map { index in
      var layer = base
      layer.stateSize = statex?.layers["\(index)"]?.state_size ?? state_size
      return LayerConfiguration.mamba2(layer)
    }
    return ModelConfiguration(
      family: .mamba2, hiddenSize: hidden_size, vocabularySize: vocab_size,
      normEpsilon: layer_norm_epsilon, tiesEmbeddings: tie_word_embeddings, layers: layers,
      base: .mamba2(base))
  }
}

/// Reads the model of a Mamba2 fixture.
func loadMamba2(directory: String) throws -> (ModelConfiguration, ParameterArena) {
  let fields = try JSONDecoder().decode(
    Mamba2Fields.self, from: Data(contentsOf: URL(fileURLWithPath: directory + "/config.json")))
  let configuration = fields.configuration
  let arena = ParameterArena(layout: configuration.layout())
  let file = try TensorFile(path: directory + "/model.safetensors")
  for slot in arena.layout.slots {
    guard let values = file[slot.name], values.count == slot.count else {
      throw MissingTensor(name: slot.name)
    }
    _ = arena.elements(slot).update(fromContentsOf: values)
  }
  return (configuration, arena)
}

private struct MissingTensor: Error { var name: String }
