import Foundation
import HuggingFaceInterop
import LanguageModels
import Layers
import TensorStorage
import Testing

/// Damage to an export that no header shows.
@Suite struct ExportSumsTests {
  private let directory: String
  private let configuration: ModelConfiguration

  init() throws {
    let layer = GLAConfiguration(
      hiddenSize: 16, headCount: 2, keyDim: 8, valueDim: 16, intermediateSize: 24)
    configuration = ModelConfiguration(
      family: .gla, hiddenSize: 16, vocabularySize: 40, normEpsilon: 1e-6, tiesEmbeddings: false,
      layers: [.gla(layer)])
    directory = FileManager.default.temporaryDirectory.path + "/sums-" + UUID().uuidString
    try HuggingFaceModel.export(
      configuration: configuration,
      parameters: ParameterArena(
        scratch: configuration,
        initialization: ScratchInitialization(embeddingDeviation: 0.7, linearDeviation: nil),
        seed: 1),
      to: directory,
      maxShardBytes: 6000)
  }

  private func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
  }

  @Test func theSystemsToolChecksThem() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["xxhsum", "-c", "XXH64SUMS"]
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    let output = Pipe()
    (process.standardOutput, process.standardError) = (output, output)
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(text)")
    #expect(text.contains("model-00001-of-") && text.contains("config.json: OK"), "\(text)")
  }

  @Test func everyFlippedBitOfTheWeightsIsFound() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    _ = try HuggingFaceModel.load(directory: directory)
    let weights = try names().filter { $0.hasSuffix(".safetensors") }
    #expect(weights.count > 1)
    var random = SystemRandomNumberGenerator()
    for name in weights {
      let path = directory + "/" + name
      let good = try Data(contentsOf: URL(fileURLWithPath: path))
      for _ in 0..<24 {
        var bad = good
        let place = Int.random(in: 0..<good.count, using: &random)
        bad[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        try bad.write(to: URL(fileURLWithPath: path))
        // A header that is no header is told first.
        let error = #expect(throws: InteropError.self) {
          try HuggingFaceModel.load(directory: directory)
        }
        #expect(error?.exitCode == 65 && error.map { "\($0)" }?.contains(directory) == true)
      }
      try good.write(to: URL(fileURLWithPath: path))
    }
    _ = try HuggingFaceModel.load(directory: directory)
  }

  @Test func anEditedConfigurationIsToldAndReadAndWithoutSumsWeightsAreNotCompared() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let config = directory + "/config.json"
    #expect(try HuggingFaceModel.load(directory: directory).warnings == [])
    let text = try String(contentsOfFile: config, encoding: .utf8)
    try (text + " ").write(toFile: config, atomically: true, encoding: .utf8)
    let warnings = try HuggingFaceModel.load(directory: directory).warnings
    #expect(warnings.count == 1)
    #expect(
      warnings.first?.contains(/config.json has the hash [0-9a-f]{16}, XXH64SUMS says/) == true)
    // Where the weights do not fit, it may be the configuration that is wrong.
    try text.replacing("\"vocab_size\": 40", with: "\"vocab_size\": 41")
      .write(toFile: config, atomically: true, encoding: .utf8)
    let misfit = #expect(throws: InteropError.self) {
      try HuggingFaceModel.load(directory: directory)
    }
    #expect(misfit.map { "\($0)" }?.contains("config.json has the hash") == true)
    try text.write(toFile: config, atomically: true, encoding: .utf8)
    let shard = directory + "/" + (try #require(names().first { $0.hasSuffix(".safetensors") }))
    var weights = try Data(contentsOf: URL(fileURLWithPath: shard))
    // The lowest bit of a number: still a model.
    weights[weights.count - 4] ^= 1
    try weights.write(to: URL(fileURLWithPath: shard))
    #expect(throws: InteropError.self) { try HuggingFaceModel.load(directory: directory) }
    try FileManager.default.removeItem(atPath: directory + "/XXH64SUMS")
    _ = try HuggingFaceModel.load(directory: directory)
  }
}
