import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing

/// Python code and tokenizer files beside a model.
@Suite struct CompanionTests {
  private static let autoMap =
    #""auto_map": {"AutoConfig": "modeling_x.XConfig", "AutoModel": ["modeling_x.X", null]}"#
  private let fixture: ModelDirectoryFixture
  private var target: String { fixture.path + ".export" }

  init() throws {
    var fixture = try ModelDirectoryFixture()
    fixture.addFields(Self.autoMap)
    try fixture.write()
    self.fixture = fixture
  }

  private func remove() {
    fixture.remove()
    try? FileManager.default.removeItem(atPath: target)
  }

  private func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: fixture.file(name))
  }

  /// Exports the fixture, its layers merged to these heads.
  private func export(heads: [Int] = [2, 2]) throws -> (files: Set<String>, config: JSONValue) {
    let model = try HuggingFaceModel.load(directory: fixture.path)
    var configuration = model.configuration
    for (index, heads) in heads.enumerated() {
      guard let layer = configuration.base.of(GLAConfiguration.self) else { continue }
      configuration.layers[index] = .gla(layer.dividedIntoHeads(heads))
    }
    let parameters =
      configuration == model.configuration
      ? model.parameters
      : .init(scratch: configuration, initialization: .init(), seed: 1)
    try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, rawConfig: model.raw, to: target,
      extras: ExportExtras(source: fixture.path))
    let files = try FileManager.default.contentsOfDirectory(atPath: target)
    return (Set(files), try HuggingFaceModel.loadConfiguration(directory: target).raw)
  }

  @Test func codeGoesAlongWithWhatItImports() throws {
    defer { remove() }
    try write("from .layers_x import Layer\nimport torch\nfrom . import other\n", "modeling_x.py")
    try write("from torch import nn\nfrom .modeling_x import X  # a circle\n", "layers_x.py")
    try write("", "unrelated.py")
    let (files, config) = try export()
    #expect(config["auto_map"]?["AutoConfig"] == .string("modeling_x.XConfig"))
    #expect(files.isSuperset(of: ["modeling_x.py", "layers_x.py"]))
    #expect(!files.contains("unrelated.py"))
    // Exported again, it does not count as somebody's addition.
    #expect(try export().files == files)
  }

  @Test func anExportThatIsInterruptedLeavesWhatStands() throws {
    defer { remove() }
    let (files, _) = try export()
    let model = try HuggingFaceModel.load(directory: fixture.path)
    var tensors = 0
    #expect {
      try HuggingFaceModel.export(
        configuration: model.configuration, parameters: model.parameters, to: target,
        isInterrupted: {
          tensors += 1
          return tensors == 3
        })
    } throws: {
      guard case .interrupted? = $0 as? InteropError else { return false }
      return true
    }
    #expect(Set(try FileManager.default.contentsOfDirectory(atPath: target)) == files)
    let above = URL(fileURLWithPath: target)
    let names = try FileManager.default.contentsOfDirectory(
      atPath: above.deletingLastPathComponent().path
    ).filter { $0.hasPrefix(above.lastPathComponent) }
    #expect(names == [above.lastPathComponent])
  }

  @Test func codeThatIsNotThereIsNotNamed() throws {
    defer { remove() }
    try write("from .layers_x import Layer\n", "modeling_x.py")
    let (files, config) = try export()
    #expect(config["auto_map"] == nil && !files.contains("modeling_x.py"))
  }

  @Test func codeOfAnotherTypeIsLeftBehind() throws {
    defer { remove() }
    try write("", "modeling_x.py")
    let (files, config) = try export(heads: [1, 2])
    #expect(!files.contains("modeling_x.py"))
    #expect(
      config["auto_map"]?["AutoConfig"] == .string("configuration_statex_gla.StatexGLAConfig"))
    // All layers merged, the model is the family's again, and the code's.
    let merged = try export(heads: [1, 1])
    #expect(merged.config["auto_map"] != nil && merged.files.contains("modeling_x.py"))
  }

  @Test func codeInAnotherRepositoryStaysThere() throws {
    defer { remove() }
    var remote = fixture
    remote.config = remote.config.replacingOccurrences(of: "modeling_x", with: "a/b--modeling_x")
    try remote.writeConfig()
    let (files, config) = try export()
    #expect(config["auto_map"]?["AutoConfig"] == .string("a/b--modeling_x.XConfig"))
    #expect(!files.contains { $0.hasSuffix(".py") })
  }

  @Test func codeOfTheTokenizerGoesAlong() throws {
    defer { remove() }
    try write(
      #"{"auto_map": {"AutoTokenizer": ["tokenization_x.T", null]}}"#, "tokenizer_config.json")
    try write("", "tokenization_x.py")
    let (files, config) = try export(heads: [1, 2])
    #expect(
      config["auto_map"]?["AutoConfig"] == .string("configuration_statex_gla.StatexGLAConfig"))
    #expect(files.isSuperset(of: ["tokenizer_config.json", "tokenization_x.py"]))
  }

  @Test(arguments: ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"])
  func aPointerIsNoTokenizer(name: String) throws {
    defer { remove() }
    try write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 493443\n", name)
    let error = #expect(throws: InteropError.self) { try export() }
    #expect(error?.exitCode == 65)
    #expect(error?.description.contains("\(name): contents: this is a Git LFS pointer") == true)
    #expect(!FileManager.default.fileExists(atPath: target))
  }
}
