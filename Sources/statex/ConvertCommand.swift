import ArgumentParser
import CommandSupport
import HuggingFaceInterop
import StateExpansion

extension ExportFormat: ExpressibleByArgument {}

/// `statex convert`: reads a model directory and writes it in today's spelling.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Rewrite a model directory with another element type, shard size or layout.")

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @OptionGroup var export: ExportOptions

  @Option(
    help:
      "Whose own code must open it: transformers, fla or mamba_ssm (default: nobody's in particular)."
  )
  var to: ExportFormat?

  @Flag(
    help:
      "Make all layers equal, so that transformers and fla open the model (pads Mamba2's states).")
  var uniform = false

  func run() throws {
    try export.requireOther(than: model)
    let loaded = try HuggingFaceModel.load(directory: model)
    warn(loaded.warnings)
    var (configuration, parameters) = (loaded.configuration, loaded.parameters)
    if uniform {
      (configuration, parameters) = try padToUniformState(
        configuration: configuration, parameters: parameters)
    }
    try export.write(
      configuration, parameters, madeFrom: loaded, at: model,
      card: ExportOptions.card(madeFrom: model), format: to)
  }
}
