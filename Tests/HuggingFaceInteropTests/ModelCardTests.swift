import Foundation
import HuggingFaceInterop
import LanguageModels
import Layers
import ProgramVersion
import TensorStorage
import Testing

/// `README.md` of an export.
@Suite struct ModelCardTests {
  private let target = FileManager.default.temporaryDirectory
    .appendingPathComponent("statex-card-\(UUID().uuidString)").path

  private func remove() { try? FileManager.default.removeItem(atPath: target) }

  @discardableResult
  private func export(_ card: ModelCard?, heads: [Int] = [1, 2]) throws -> ExportSummary {
    let base = GLAConfiguration(
      hiddenSize: 8, headCount: 2, keyDim: 4, valueDim: 8, intermediateSize: 12)
    let configuration = ModelConfiguration(
      family: .gla, hiddenSize: 8, vocabularySize: 10, normEpsilon: 1e-6, tiesEmbeddings: false,
      layers: heads.map { .gla(base.dividedIntoHeads($0)) }, base: .gla(base))
    return try HuggingFaceModel.export(
      configuration: configuration, parameters: ParameterArena(layout: configuration.layout()),
      to: target, extras: ExportExtras(card: card))
  }

  private func text(_ name: String = "README.md") throws -> String {
    try String(contentsOfFile: target + "/" + name, encoding: .utf8)
  }

  @Test func factsComeBack() throws {
    defer { remove() }
    let card = ModelCard(
      [
        .init("made from", "gla-1.3B"), .init("expansion", "layers 0: heads 1 | 2"),
        .init("expansion", "again"),
      ], recipe: "run:\n  name: x\ndata:\n  a: ```b```\n")
    try export(card)
    #expect(card.facts.map(\.name) == ["made from", "expansion", "expansion 2"])
    #expect(ModelCard(directory: target) == card)
    let text = try text()
    #expect(text.contains("| model | statex_gla, 2 layers, "))
    #expect(text.contains("| expanded layers | 0 |"))
    #expect(text.contains("| software | statex \(programVersion) |"))
    #expect(text.contains("trust_remote_code=True"))
    // The same card and model give the same bytes.
    try export(card)
    #expect(try self.text() == text)
  }

  @Test func plainModelsSayWhoOpensThem() throws {
    defer { remove() }
    try export(ModelCard(), heads: [1, 1])
    let text = try text()
    #expect(text.contains("| model | gla, 2 layers, ") && text.contains("import fla"))
    #expect(!text.contains("expanded layers") && !text.contains("trust_remote_code"))
    #expect(ModelCard(directory: target) == ModelCard())
  }

  @Test func noCardIsWrittenUnlessAskedFor() throws {
    defer { remove() }
    #expect(try export(nil).cardFile == nil)
    #expect(!FileManager.default.fileExists(atPath: target + "/README.md"))
    #expect(ModelCard(directory: target) == nil)
  }

  @Test func anUntouchedCardIsReplaced() throws {
    defer { remove() }
    try export(ModelCard([.init("made from", "a")]))
    #expect(try export(ModelCard([.init("made from", "b")])).cardFile == "README.md")
    #expect(ModelCard(directory: target)?.facts == [.init("made from", "b")])
  }

  @Test(arguments: ["# Mine\n", "", "edited"])
  func somebodysOwnTextIsKept(own: String) throws {
    defer { remove() }
    try export(ModelCard([.init("made from", "a")]))
    let mine =
      own == "edited" ? try text().replacingOccurrences(of: "# Gated", with: "# My gated") : own
    try mine.write(toFile: target + "/README.md", atomically: false, encoding: .utf8)
    for name in ["b", "c"] {
      #expect(try export(ModelCard([.init("made from", name)])).cardFile == "README.statex.md")
      #expect(try text() == mine)
      #expect(try text("README.statex.md").contains("| made from | \(name) |"))
    }
  }
}
