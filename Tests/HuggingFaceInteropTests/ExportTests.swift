import Files
import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import TensorFiles
import TensorStorage
import Testing

/// The relative paths and contents of a directory.
private func contents(_ url: URL) throws -> [String: Data] {
  var files: [String: Data] = [:]
  for name in try FileManager.default.contentsOfDirectory(atPath: url.path) {
    files[name] = try Data(contentsOf: url.appendingPathComponent(name))
  }
  return files
}

/// A model of the fixture's shape from scratch; `heads` gives the heads of each layer (2 in the base).
private func model(
  heads: [Int] = [2, 2], seed: UInt64 = 7, change: (inout GLAConfiguration) -> Void = { _ in }
) -> (ModelConfiguration, ParameterArena) {
  var base = GLAConfiguration(
    hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 12)
  change(&base)
  let configuration = ModelConfiguration(
    family: .gla, hiddenSize: 8, vocabularySize: 10, normEpsilon: base.normEpsilon,
    tiesEmbeddings: false, layers: heads.map { .gla(base.dividedIntoHeads($0)) }, base: .gla(base))
  return (
    configuration,
    ParameterArena(scratch: configuration, initialization: ScratchInitialization(), seed: seed)
  )
}

@Suite struct ExportTests {
  let parent: URL
  var target: URL { parent.appendingPathComponent("export") }

  init() throws {
    parent = FileManager.default.temporaryDirectory.appendingPathComponent(
      "statex-export-\(UUID().uuidString)")
  }

  private func remove() { try? FileManager.default.removeItem(at: parent) }

  @Test func importedModelComesBackBitForBit() throws {
    defer { remove() }
    for type in ["F32", "BF16", "F16"] {
      let fixture = try ModelDirectoryFixture(
        ModelDirectoryFixture.plainTensors.map { $0.converted(to: type) })
      defer { fixture.remove() }
      try fixture.write()
      let original = try HuggingFaceModel.load(directory: fixture.path)
      let variants: [(ElementTypes, Int)] = [
        (.float32, 1 << 30), (.bfloat16, 1 << 30), (.float32, 999),
      ]
      for (dtype, shard) in variants {
        try HuggingFaceModel.export(
          configuration: original.configuration, parameters: original.parameters,
          rawConfig: original.raw, to: target.path, dtype: dtype, maxShardBytes: shard)
        let again = try HuggingFaceModel.load(directory: target.path)
        #expect(again.parameters.bits == original.parameters.bits)
        #expect(again.configuration == original.configuration)
        #expect(again.raw["expand_k"] == .number("0.5"))
        #expect(again.raw["norm_eps"] == .number("1e-06"))
        #expect(again.raw["unknown_but_harmless"] == original.raw["unknown_but_harmless"])
        #expect(again.raw["eos_token_id"] == .number("12345678901234567"))
        #expect(again.raw["architectures"] == .array([.string("GLAForCausalLM")]))
        #expect(
          again.raw["torch_dtype"] == .string(dtype == .float32 ? "float32" : "bfloat16"))
        #expect(again.raw["statex"] == nil)
      }
    }
  }

  @Test func shardsHaveAnIndexAndTheirSize() throws {
    defer { remove() }
    let (configuration, parameters) = model()
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path, maxShardBytes: 2000)
    let files = try contents(target)
    #expect(files["model.safetensors"] == nil)
    let shards = files.keys.filter { $0.hasSuffix(".safetensors") }.sorted()
    #expect(shards.count > 2)
    #expect(shards.first == "model-00001-of-0000\(shards.count).safetensors")
    var total = 0
    for shard in shards {
      let file = try MappedFile(path: target.appendingPathComponent(shard).path)
      let header = try SafetensorsHeader(file)
      #expect(header.dataByteCount <= 2000)
      #expect(header.metadata == ["format": "pt"])
      total += header.dataByteCount
    }
    let index = try #require(files["model.safetensors.index.json"])
    let json = try #require(
      try JSONSerialization.jsonObject(with: index) as? [String: [String: Any]])
    #expect(json["metadata"]?["total_size"] as? Int == total)
    #expect(json["metadata"]?["total_parameters"] as? Int == total / 4)
    #expect(json["weight_map"]?.count == configuration.layout().slots.count)
    let again = try HuggingFaceModel.load(directory: target.path)
    #expect(again.parameters.bits == parameters.bits)
  }

  @Test func bfloat16RoundsToNearestEven() throws {
    defer { remove() }
    let (configuration, parameters) = model()
    let values: [(UInt32, UInt32)] = [
      (0x3F80_8000, 0x3F80_0000), (0x3F81_8000, 0x3F82_0000), (0x3F80_8001, 0x3F81_0000),
      (0x3F80_7FFF, 0x3F80_0000), (0x7F7F_7FFF, 0x7F7F_0000), (0x8000_0001, 0x8000_0000),
      (0xFF7F_0000, 0xFF7F_0000), (0x0000_8001, 0x0001_0000),
    ]
    let norm = try #require(parameters["model.norm.weight"])
    for (i, value) in values.enumerated() { norm[i] = Float(bitPattern: value.0) }
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path, dtype: .bfloat16)
    let again = try HuggingFaceModel.load(directory: target.path)
    let rounded = try #require(again.parameters["model.norm.weight"])
    #expect(rounded.map(\.bitPattern) == values.map(\.1))
  }

  @Test func expandedLayersAreDescribed() throws {
    defer { remove() }
    let (configuration, parameters) = model(heads: [1, 2, 1])
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path)
    let again = try HuggingFaceModel.load(directory: target.path)
    #expect(again.configuration == configuration)
    #expect(again.parameters.bits == parameters.bits)
    let text = String(decoding: again.raw["statex"]?.encoded() ?? [], as: UTF8.self)
    #expect(
      text.filter { !" \n".contains($0) }
        == #"{"layers":{"0":{"num_heads":1},"2":{"num_heads":1}}}"#)
    #expect(again.raw["num_heads"] == .number("2"))
  }

  @Test func everyOptionSurvives() throws {
    defer { remove() }
    for keyDim in [4, 12, 20] {
      let (configuration, parameters) = model(heads: [2, 4, 1]) {
        $0.hiddenSize = 8
        $0.headCount = 4
        $0.keyValueHeadCount = 2
        $0.keyDim = keyDim
        $0.featureMap = .relu
        $0.convolutionSize = 3
        $0.gateClampMinimum = -0.1
        $0.fusesNorm = false
        $0.normEpsilon = 3e-5
      }
      try HuggingFaceModel.export(
        configuration: configuration, parameters: parameters, to: target.path)
      let again = try HuggingFaceModel.load(directory: target.path)
      #expect(again.configuration == configuration)
      #expect(again.parameters.bits == parameters.bits)
      #expect(again.parameters["model.layers.0.attn.g_norm.weight"] != nil)
    }
  }

  @Test func everyChannelRatioIsExact() throws {
    for width in 1...96 {
      for channels in 1...(2 * width) {
        let base = GLAConfiguration(
          hiddenSize: width, headCount: 1, keyDim: channels, valueDim: width, intermediateSize: 1)
        let model = ModelConfiguration(
          family: .gla, hiddenSize: width, vocabularySize: 2, normEpsilon: 1e-6,
          tiesEmbeddings: true, layers: [.gla(base)])
        let json = try HuggingFaceModel.configJSON(of: model)
        #expect(try ModelConfiguration(configJSON: json) == model)
      }
    }
  }

  @Test func aModelThatCannotBeDescribedIsRefused() throws {
    defer { remove() }
    let (plain, _) = model()
    var odd = plain
    var layer = GLAConfiguration(
      hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 16)
    odd.layers[1] = .gla(layer)
    layer.gateRank = 8
    var ranked = plain
    ranked.layers = [.gla(layer), .gla(layer)]
    ranked.base = .gla(layer)
    for configuration in [odd, ranked] {
      let arena = ParameterArena(layout: configuration.layout())
      let error = interopError { () throws(InteropError) in
        try HuggingFaceModel.export(
          configuration: configuration, parameters: arena, to: target.path)
      }
      #expect(error?.exitCode == 64)
      #expect(!FileManager.default.fileExists(atPath: parent.path))
    }
  }

  @Test func bytesAreDeterministic() throws {
    defer { remove() }
    let (configuration, parameters) = model(heads: [1, 2])
    let second = parent.appendingPathComponent("second")
    for url in [target, second] {
      try HuggingFaceModel.export(
        configuration: configuration, parameters: parameters, to: url.path, maxShardBytes: 3000)
    }
    #expect(try contents(target) == contents(second))
  }

  @Test func anExportIsReplacedAndAdditionsAreKept() throws {
    defer { remove() }
    let (configuration, parameters) = model()
    let (_, others) = model(seed: 8)
    try HuggingFaceModel.export(
      configuration: configuration, parameters: others, to: target.path, maxShardBytes: 2000)
    try Data("mine".utf8).write(to: target.appendingPathComponent("notes.txt"))
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path + "/")
    let again = try HuggingFaceModel.load(directory: target.path)
    #expect(again.parameters.bits == parameters.bits)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: target.path).sorted()
        == [".statex-export", "XXH64SUMS", "config.json", "model.safetensors", "notes.txt"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: parent.path) == ["export"])
  }

  @Test func pythonCodeComesAndGoesWithExpandedLayers() throws {
    defer { remove() }
    let sources = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources/HuggingFaceInterop/Python")
    let (expanded, parameters) = model(heads: [1, 2])
    try HuggingFaceModel.export(configuration: expanded, parameters: parameters, to: target.path)
    let code = try contents(target).filter { $0.key.hasSuffix(".py") }
    #expect(
      code.keys.sorted()
        == ["configuration_statex_gla.py", "modeling_statex.py", "modeling_statex_gla.py"])
    for (name, bytes) in code {
      #expect(try bytes == Data(contentsOf: sources.appendingPathComponent(name)))
    }
    let raw = try HuggingFaceModel.load(directory: target.path).raw
    #expect(
      raw["auto_map"]?["AutoModelForCausalLM"]
        == .string("modeling_statex_gla.StatexGLAForCausalLM"))

    let (plain, others) = model()
    try HuggingFaceModel.export(
      configuration: plain, parameters: others, rawConfig: raw, to: target.path)
    #expect(!(try contents(target).keys.contains { $0.hasSuffix(".py") }))
    #expect(try HuggingFaceModel.load(directory: target.path).raw["auto_map"] == nil)
  }

  @Test func otherDirectoriesAreLeftAlone() throws {
    defer { remove() }
    let fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    try fixture.write()
    let before = try contents(fixture.url)
    let (configuration, parameters) = model()
    for path in [fixture.path, fixture.file("config.json").path] {
      let error = interopError { () throws(InteropError) in
        try HuggingFaceModel.export(
          configuration: configuration, parameters: parameters, to: path)
      }
      #expect(error?.exitCode == 64)
      #expect(error?.description.contains(path) == true)
    }
    #expect(try contents(fixture.url) == before)
  }

  @Test func aFailedExportLeavesThePreviousOne() throws {
    defer { remove() }
    let (configuration, parameters) = model()
    let (_, others) = model(seed: 8)
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path)
    let before = try contents(target)
    let tokenizer = try ModelDirectoryFixture()
    defer { tokenizer.remove() }
    try FileManager.default.createDirectory(
      at: tokenizer.file("tokenizer.json"), withIntermediateDirectories: false)
    let error = interopError { () throws(InteropError) in
      try HuggingFaceModel.export(
        configuration: configuration, parameters: others, to: target.path,
        extras: ExportExtras(source: tokenizer.path))
    }
    #expect(error != nil)
    #expect(try contents(target) == before)
    #expect(try FileManager.default.contentsOfDirectory(atPath: parent.path) == ["export"])
  }

  @Test func anExportIsThereAtEveryMoment() async throws {
    defer { remove() }
    let (configuration, parameters) = model()
    let path = target.path
    try HuggingFaceModel.export(configuration: configuration, parameters: parameters, to: path)
    let reader = Task.detached {
      var failures = 0
      while !Task.isCancelled {
        if access(path, F_OK) != 0 { failures += 1 }
      }
      return failures
    }
    for _ in 0..<40 {
      try HuggingFaceModel.export(configuration: configuration, parameters: parameters, to: path)
    }
    reader.cancel()
    #expect(await reader.value == 0)
  }

  @Test func remainsOfAKilledExportAreRemoved() throws {
    defer { remove() }
    let (configuration, parameters) = model()
    for (name, file) in [(".export.partial-1-0", "config.json"), (".export.partial-2-0", "notes")] {
      let remains = parent.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: remains, withIntermediateDirectories: true)
      try Data().write(to: remains.appendingPathComponent(file))
    }
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: parent.path).sorted()
        == [".export.partial-2-0", "export"])
  }

  /// Whatever call the process dies before: the next export finds everything and leaves nothing behind.
  @Test(arguments: [false, true])
  func aCrashLosesNoExportAndNoAddition(withoutExchange: Bool) throws {
    let (configuration, old) = model()
    let (_, new) = model(seed: 8)
    var crashes = 0
    var isDone = false
    while !isDone {
      defer { remove() }
      func export(_ parameters: ParameterArena) throws {
        try HuggingFaceModel.export(
          configuration: configuration, parameters: parameters, to: target.path)
      }
      try export(old)
      try Data("mine".utf8).write(to: target.appendingPathComponent("notes.txt"))
      var calls = 0
      do {
        try FileFaults { call, _ in
          calls += 1
          if calls == crashes + 1 { return .crash }
          return withoutExchange && call == .exchange ? .fail(EINVAL) : nil
        }.during { try export(new) }
        isDone = true
      } catch {
        crashes += 1
      }
      if let found = try? HuggingFaceModel.load(directory: target.path).parameters.bits {
        #expect(found == old.bits || found == new.bits, "call \(crashes)")
      } else {
        #expect(withoutExchange, "call \(crashes): there is no export")
      }
      // The next export puts back what is missing before it writes anything.
      #expect(throws: InteropError.self) {
        try FileFaults { call, path in
          call == .createDirectory && path.contains(".partial-") ? .fail(ENOSPC) : nil
        }.during { try export(new) }
      }
      #expect(throws: Never.self) { try HuggingFaceModel.load(directory: target.path) }
      try export(new)
      let files = try contents(target)
      #expect(try HuggingFaceModel.load(directory: target.path).parameters.bits == new.bits)
      #expect(files["notes.txt"] == Data("mine".utf8), "call \(crashes)")
      let left = try FileManager.default.contentsOfDirectory(atPath: parent.path)
      #expect(left == ["export"], "call \(crashes)")
    }
    #expect(crashes > 20)
  }

  @Test func tokenizerFilesAreCopied() throws {
    defer { remove() }
    let source = try ModelDirectoryFixture()
    defer { source.remove() }
    try Data("{}".utf8).write(to: source.file("tokenizer.json"))
    try Data("secret".utf8).write(to: source.file("unrelated.txt"))
    try FileManager.default.createSymbolicLink(
      atPath: source.file("tokenizer.model").path, withDestinationPath: "unrelated.txt")
    let (configuration, parameters) = model()
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: target.path,
      extras: ExportExtras(source: source.path))
    let files = try contents(target)
    #expect(files["tokenizer.json"] == Data("{}".utf8))
    #expect(files["tokenizer.model"] == Data("secret".utf8))
    #expect(files["unrelated.txt"] == nil)
  }

  @Test func aLinkedTargetIsFollowed() throws {
    defer { remove() }
    try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
    let link = parent.appendingPathComponent("link")
    try FileManager.default.createSymbolicLink(
      atPath: link.path, withDestinationPath: "export")
    let (configuration, parameters) = model()
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, to: link.path)
    let attributes = try FileManager.default.attributesOfItem(atPath: link.path)
    #expect(attributes[.type] as? FileAttributeType == .typeSymbolicLink)
    #expect(try HuggingFaceModel.load(directory: target.path).parameters.bits == parameters.bits)
  }
}
