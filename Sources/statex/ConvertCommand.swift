import ArgumentParser
import CommandSupport
import HuggingFaceInterop

/// `statex convert`: reads a model directory and writes it in today's spelling.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Rewrite a model directory: other element type, other shards, current tensor names.")

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @OptionGroup var export: ExportOptions

  func run() throws {
    try export.requireOther(than: model)
    let loaded = try HuggingFaceModel.load(directory: model)
    try export.write(
      loaded.configuration, loaded.parameters, raw: loaded.raw, madeFrom: model)
    print(
      "wrote \(export.output): \(loaded.parameters.layout.parameterCount) parameters,"
        + " \(export.dtype.rawValue)")
  }
}
