import Fields
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers

extension MovingAverageFamily: HuggingFaceFamily {
  var dialects: [any ModelDialect] { [exportDialect] }
  var exportDialect: any ModelDialect { MovingAverageDialect() }
}

struct MovingAverageDialect: ModelDialect {
  let name = "moving average"
  let architecture: String? = "MovingAverageForCausalLM"
  let knownFields = ["hidden_size", "channels", "num_hidden_layers", "norm_eps", "vocab_size"]

  private var family: ModelFamily { ModelFamily(MovingAverageFamily()) }

  func claims(_ config: [JSONMember]) -> Bool { family.isNamed(by: config) }

  func decodeBase(_ reader: ConfigReader) throws(FieldError) -> ModelConfiguration {
    let layer = MovingAverageConfiguration(
      hiddenSize: try reader.integer("hidden_size", ConfigLimit.width),
      channels: try reader.integer("channels", ConfigLimit.channels),
      normEpsilon: try reader.singlePrecision("norm_eps", default: 1e-6))
    let count = try reader.integer("num_hidden_layers", ConfigLimit.layers)
    return ModelConfiguration(
      family: family, hiddenSize: layer.hiddenSize,
      vocabularySize: try reader.integer("vocab_size", ConfigLimit.vocabulary),
      normEpsilon: layer.normEpsilon,
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      layers: Array(repeating: LayerConfiguration(layer), count: count))
  }

  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(FieldError) -> LayerConfiguration {
    guard var layer = base.of(MovingAverageConfiguration.self) else {
      throw reader.refusal("channels", "the base layer is no moving average")
    }
    layer.channels = try reader.integer("channels", ConfigLimit.channels)
    return LayerConfiguration(layer)
  }

  func encodeBase(_ configuration: ModelConfiguration) -> [JSONMember] {
    guard let layer = configuration.base.of(MovingAverageConfiguration.self) else { return [] }
    return [
      JSONMember("model_type", .string(family.name)),
      JSONMember("hidden_size", .integer(layer.hiddenSize)),
      JSONMember("channels", .integer(layer.channels)),
      JSONMember("num_hidden_layers", .integer(configuration.layers.count)),
      JSONMember("norm_eps", .number("\(layer.normEpsilon)")),
      JSONMember("tie_word_embeddings", .bool(configuration.tiesEmbeddings)),
      JSONMember("vocab_size", .integer(configuration.vocabularySize)),
    ]
  }

  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> [JSONMember]? {
    layer.of(MovingAverageConfiguration.self).map {
      [JSONMember("channels", .integer($0.channels))]
    }
  }
}
