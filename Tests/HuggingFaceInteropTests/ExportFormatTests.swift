import Files
import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import TensorFiles
import TensorStorage
import Testing

private let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("Fixtures")

/// Exports for one program's own code.
@Suite struct ExportFormatTests {
  private let target = FileManager.default.temporaryDirectory
    .appendingPathComponent("statex-format-\(UUID().uuidString)").path

  private func remove() { try? FileManager.default.removeItem(atPath: target) }

  private func export(_ model: HuggingFaceModel, _ format: ExportFormat) throws -> HuggingFaceModel
  {
    try HuggingFaceModel.export(
      configuration: model.configuration, parameters: model.parameters, rawConfig: model.raw,
      to: target, dtype: model.elementTypes, extras: ExportExtras(format: format))
    return try HuggingFaceModel.load(directory: target)
  }

  /// A model whose weights are zero.
  private func zeros(
    change: (inout Mamba2Configuration) -> Void = { _ in }, states: [Int] = [4, 4]
  ) -> (ModelConfiguration, ParameterArena) {
    var base = Mamba2Configuration(hiddenSize: 8, headCount: 2, headDim: 8, stateSize: 4)
    change(&base)
    let layers = states.map { size in
      var layer = base
      layer.stateSize = size
      return LayerConfiguration.mamba2(layer)
    }
    let configuration = ModelConfiguration(
      family: .mamba2, hiddenSize: 8, vocabularySize: 9, normEpsilon: base.normEpsilon,
      tiesEmbeddings: false, layers: layers, base: .mamba2(base))
    return (configuration, ParameterArena(layout: configuration.layout()))
  }

  @Test(arguments: ["transformers", "fla", "mamba_ssm"])
  func roundTripsGiveTheSameBits(dialect: String) throws {
    defer { remove() }
    let original = try HuggingFaceModel.load(
      directory: fixtures.appendingPathComponent("mamba2/dialects/\(dialect)").path)
    var model = original
    for format in [ExportFormat.mambaSSM, .transformers, .mambaSSM, .mambaSSM, .fla] {
      model = try export(model, format)
      #expect(model.configuration == original.configuration)
      #expect(model.parameters.bits == original.parameters.bits)
      #expect(model.elementTypes == original.elementTypes)
      #expect(model.warnings.isEmpty)
      // The files of the format before are gone.
      let files = Set(try FileManager.default.contentsOfDirectory(atPath: target))
      let weights: Set = ["model.safetensors", "pytorch_model.bin"]
      #expect(
        files.intersection(weights)
          == [format == .mambaSSM ? "pytorch_model.bin" : "model.safetensors"])
    }
  }

  @Test func officialFilesHaveOfficialNames() throws {
    defer { remove() }
    let official = fixtures.appendingPathComponent("mamba2/dialects/mamba_ssm").path
    let original = try HuggingFaceModel.load(directory: official)
    let kept = try export(original, .mambaSSM)
    #expect(kept.raw == original.raw)
    let expected = try SafetensorsHeader(MappedFile(path: official + "/model.safetensors"))
    for raw in [original.raw, nil] {
      try HuggingFaceModel.export(
        configuration: original.configuration, parameters: original.parameters, rawConfig: raw,
        to: target, dtype: .float16, extras: ExportExtras(format: .mambaSSM))
      let written = try TorchCheckpoint(MappedFile(path: target + "/pytorch_model.bin")).tensors
      #expect(Set(written.map(\.name)) == Set(expected.tensors.map(\.name)))
      for tensor in written { #expect(tensor.shape == expected[tensor.name]?.shape) }
      // The tied head has no storage of its own.
      #expect(Set(written.map(\.range)).count == written.count - 1)
      guard case .object(let fields) = try HuggingFaceModel.load(directory: target).raw,
        case .object(let known) = original.raw
      else { return #expect(Bool(false)) }
      #expect(Set(fields.map(\.name)) == Set(known.map(\.name)))
    }
  }

  @Test func everyOptionSurvives() throws {
    defer { remove() }
    for limit in [Float(0.02)...0.5, 0.25...Float.infinity] {
      let (configuration, parameters) = zeros(
        change: {
          $0.stateSize = 6
          $0.groupCount = 2
          $0.convolutionSize = 3
          $0.hasProjectionBias = true
          $0.hasConvolutionBias = false
          $0.timeStepLimit = limit
        }, states: [6, 6])
      try HuggingFaceModel.export(
        configuration: configuration, parameters: parameters, to: target,
        extras: ExportExtras(format: .mambaSSM))
      let again = try HuggingFaceModel.load(directory: target)
      #expect(again.configuration == configuration)
      #expect(again.raw["model_type"] == nil && again.raw["torch_dtype"] == nil)
    }
  }

  @Test func itsWeightsAreOneFile() throws {
    defer { remove() }
    let (configuration, parameters) = zeros()
    let bytes = parameters.layout.slots.reduce(0) { $0 + $1.count * 4 }
    func write(_ limit: Int) throws(InteropError) {
      try HuggingFaceModel.export(
        configuration: configuration, parameters: parameters, to: target, maxShardBytes: limit,
        extras: ExportExtras(format: .mambaSSM))
    }
    let error = interopError { () throws(InteropError) in try write(bytes - 1) }
    #expect(error?.exitCode == 64)
    #expect(error?.description.contains("pytorch_model.bin: must be one file") == true)
    #expect(!FileManager.default.fileExists(atPath: target))
    try write(bytes)
  }

  @Test func anInterruptedExportLeavesNothing() throws {
    defer { remove() }
    let (configuration, parameters) = zeros()
    var asked = 0
    let error = interopError { () throws(InteropError) in
      try HuggingFaceModel.export(
        configuration: configuration, parameters: parameters, to: target,
        extras: ExportExtras(format: .mambaSSM),
        isInterrupted: {
          asked += 1
          return asked == 3
        })
    }
    #expect(error?.exitCode == 75 && asked == 3)
    #expect(!FileManager.default.fileExists(atPath: target))
  }

  @Test func whatAProgramDoesNotKnowIsNamed() throws {
    defer { remove() }
    let gla = try HuggingFaceModel.load(
      directory: fixtures.appendingPathComponent("gla/plain").path)
    let merged = try HuggingFaceModel.load(
      directory: fixtures.appendingPathComponent("gla/expanded").path)
    #expect(try export(gla, .fla).raw["model_type"] == .string("gla"))
    let plain = (gla.configuration, gla.parameters)
    let narrow = zeros(change: { ($0.headCount, $0.headDim) = (3, 4) })
    for (model, format, problem) in [
      (plain, .transformers, "transformers has no gla models; for these: fla"),
      (plain, .mambaSSM, "mamba_ssm has no gla models"),
      ((merged.configuration, merged.parameters), .fla, "layers 0 differ"),
      (
        zeros(states: [4, 8, 6]), .mambaSSM,
        "mamba_ssm knows one shape for all layers, and layers 1, 2"
      ),
      (zeros(states: [4, 8]), .transformers, "transformers knows one shape"),
      (zeros(change: { $0.normEpsilon = 1e-6 }), .mambaSSM, "epsilon is 1e-06"),
      (narrow, .mambaSSM, "the inner width is 12"),
    ] as [((ModelConfiguration, ParameterArena), ExportFormat, String)] {
      let error = interopError { () throws(InteropError) in
        try HuggingFaceModel.export(
          configuration: model.0, parameters: model.1, to: target + ".refused",
          extras: ExportExtras(format: format))
      }
      #expect(error?.exitCode == 64)
      #expect(error?.description.contains(problem) == true, "\(error?.description ?? "written")")
      #expect(!FileManager.default.fileExists(atPath: target + ".refused"))
    }
    try HuggingFaceModel.export(
      configuration: narrow.0, parameters: narrow.1, to: target,
      extras: ExportExtras(format: .transformers))
    // Equal layers are plain, whatever the base was.
    let equal = zeros(states: [8, 8])
    try HuggingFaceModel.export(
      configuration: equal.0, parameters: equal.1, to: target,
      extras: ExportExtras(format: .mambaSSM))
    #expect(try HuggingFaceModel.load(directory: target).configuration.layers == equal.0.layers)
  }
}
