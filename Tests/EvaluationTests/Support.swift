import Evaluation
import Foundation
import HuggingFaceInterop
import Kernels
import LanguageModels
import Layers
import TensorStorage
import TokenData

/// Directories of `Tests/Fixtures/gla`.
let fixtureNames = ["plain", "expanded", "conv_grouped", "variants", "no_gate", "strong_gates"]

/// A fixture's model.
func fixtureModel(_ name: String, segmentLength: Int = 64) throws -> EvaluatedModel {
  configureBLAS()
  let model = try HuggingFaceModel.load(directory: fixtureDirectory(name))
  return EvaluatedModel(
    LanguageModel(model.configuration), parameters: model.parameters.buffer,
    segmentLength: segmentLength)
}

func fixtureDirectory(_ name: String) -> String {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/gla/\(name)").path
}

/// What PyTorch computed of a fixture.
struct Reference: Decodable {
  var tokens: [[Int32]]
  var tokenNLL: [Double]

  enum CodingKeys: String, CodingKey {
    case tokens
    case tokenNLL = "token_nll_float64"
  }

  static func load(_ name: String) throws -> Reference {
    let url = URL(fileURLWithPath: fixtureDirectory(name) + "/reference.json")
    return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: url))
  }
}

/// A random model.
func randomModel(vocabulary: Int, segmentLength: Int = 64) -> EvaluatedModel {
  configureBLAS()
  var layer = GLAConfiguration(
    hiddenSize: 24, headCount: 2, keyDim: 16, valueDim: 24, intermediateSize: 32)
  layer.convolutionSize = 4
  let configuration = ModelConfiguration(
    family: .gla, hiddenSize: 24, vocabularySize: vocabulary, normEpsilon: 1e-6,
    tiesEmbeddings: false, layers: [.gla(layer), .gla(layer.dividedIntoHeads(1))],
    base: .gla(layer))
  let parameters = ParameterArena(
    scratch: configuration,
    initialization: ScratchInitialization(embeddingDeviation: 0.7, linearDeviation: nil), seed: 3)
  return EvaluatedModel(
    LanguageModel(configuration), parameters: parameters.buffer, segmentLength: segmentLength)
}

/// A model that follows a table: after token `t` it is sure of `next[t]`, whatever stood before.
func automaton(vocabulary: Int, _ next: [Int32: Int32], otherwise: Int32) -> EvaluatedModel {
  configureBLAS()
  let width = (vocabulary + 7) / 8 * 8
  let layer = GLAConfiguration(
    hiddenSize: width, headCount: 1, keyDim: 8, valueDim: 8, intermediateSize: 8)
  let configuration = ModelConfiguration(
    family: .gla, hiddenSize: width, vocabularySize: vocabulary, normEpsilon: 1e-6,
    tiesEmbeddings: false, layers: [.gla(layer)])
  // All zero, so the block adds nothing: what remains is head(norm(embedding)).
  let parameters = ParameterArena(layout: configuration.layout())
  let family = configuration.family
  _ = parameters[family.finalNormKey]?.update(repeating: 1)
  for token in 0..<vocabulary {
    let following = Int(next[Int32(token)] ?? otherwise)
    parameters[family.embeddingsKey]?[token * width + token] = 1
    parameters[family.headKey]?[following * width + token] = 1
  }
  return EvaluatedModel(LanguageModel(configuration), parameters: parameters.buffer)
}

/// A folder that disappears with its owner.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/evaluation-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a token file of one document and returns its prefix.
  func tokens(_ tokens: [Int32], vocabulary: Int) throws -> String {
    let prefix = path + "/" + UUID().uuidString
    let writer = try MegatronWriter(prefix: prefix, vocabularySize: vocabulary)
    try writer.append(tokens)
    try writer.finish()
    return prefix
  }
}
