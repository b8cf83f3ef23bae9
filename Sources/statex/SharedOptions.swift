import ArgumentParser
import CommandSupport
import Evaluation
import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import TensorStorage

/// Options of commands that run a model.
struct ComputeOptions: ParsableArguments {
  @Option(help: "Compute threads; does not affect results (default: all processors).")
  var threads: Int?

  @Option(help: "Tokens processed at a time, which limits memory.")
  var segmentLength = EvaluatedModel.defaultSegmentLength

  func validate() throws {
    guard threads ?? 1 >= 1, threads ?? 1 <= 4096 else {
      throw ValidationError("--threads must be between 1 and 4096")
    }
    try requireCount(segmentLength, "--segment-length")
  }

  /// Starts the threads and reads a model.
  func load(_ directory: String) throws -> EvaluatedModel {
    configureCompute(threads: threads)
    return try ModelSource(directory).load(segmentLength: segmentLength)
  }
}

/// Options of commands that write a model directory.
struct ExportOptions: ParsableArguments {
  /// The element type of exported weights.
  enum Precision: String, CaseIterable, ExpressibleByArgument {
    case float32, bfloat16, float16

    var exported: ElementTypes {
      switch self {
      case .float32: .float32
      case .bfloat16: .bfloat16
      case .float16: .float16
      }
    }
  }

  @Option(help: "The new model directory; an existing export there is replaced.")
  var output: String

  @Option(help: "Element type of all weights (default: each tensor's own).")
  var dtype: Precision?

  @Option(help: "Largest weight file, for example 5GB; larger models are split.")
  var maxShardSize: ByteSize?

  /// Requires that the output is not the model that is read.
  func requireOther(than model: String) throws(CommandError) {
    guard let source = realpath(model, nil) else { return }
    defer { free(source) }
    guard let target = realpath(output, nil) else { return }
    defer { free(target) }
    guard strcmp(source, target) != 0 else {
      throw .usage("--output \(output) is the model itself; choose another directory")
    }
  }

  /// The card of a model made from the one at `source`: the facts of that model's own card come first.
  static func card(madeFrom source: String) -> ModelCard {
    var card = ModelCard(directory: source) ?? ModelCard()
    card.add("made from", URL(fileURLWithPath: source).lastPathComponent)
    return card
  }

  /// Writes a model made from `original` at `source`, whose tokenizer files go along, and says what it
  /// is.
  func write(
    _ configuration: ModelConfiguration, _ parameters: ParameterArena,
    madeFrom original: HuggingFaceModel, at source: String, card: ModelCard,
    format: ExportFormat? = nil
  ) throws(InteropError) {
    let types = dtype?.exported ?? original.elementTypes
    let summary = try HuggingFaceModel.export(
      configuration: configuration, parameters: parameters, rawConfig: original.raw, to: output,
      dtype: types,
      maxShardBytes: maxShardSize?.count ?? HuggingFaceModel.defaultShardBytes,
      extras: ExportExtras(source: source, format: format, card: card))
    let count = configuration.layout().parameterCount
    let kind = summary.modelType.map { "model_type \($0)" } ?? "as mamba_ssm has it"
    print("wrote \(output): \(count) parameters, \(types.description), \(kind)")
    if let file = summary.cardFile, file != "README.md" {
      warn(["\(output)/README.md was not written by statex and is kept; the model card is \(file)"])
    }
    guard !summary.expandedLayers.isEmpty else { return }
    print(
      "layers differ: transformers opens the model with trust_remote_code=True; fla and"
        + " transformers' own classes refuse it")
  }
}

/// A number of bytes as users write it: `500000000`, `500MB`, `5GB` (powers of 1000, as elsewhere in
/// the ecosystem).
struct ByteSize: ExpressibleByArgument {
  let count: Int

  init?(argument: String) {
    let units = [("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("", 1)]
    let text = argument.uppercased()
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Int(text.dropLast(unit.count)), number >= 1
    else { return nil }
    let (count, overflows) = number.multipliedReportingOverflow(by: factor)
    guard !overflows else { return nil }
    self.count = count
  }
}

/// Whole numbers separated by commas.
struct IntegerList: ExpressibleByArgument {
  let values: [Int]

  init(values: [Int]) { self.values = values }

  var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = parts.compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    guard values.count == parts.count else { return nil }
  }
}

/// Requires a count that an option may have.
func requireCount(_ value: Int, _ option: String) throws {
  let most = 1 << 30
  guard (1...most).contains(value) else {
    throw ValidationError("\(option) must be between 1 and \(most)")
  }
}

/// Prints a JSON value on stdout.
func printJSON(_ value: JSONValue) {
  print(String(decoding: value.encoded(), as: UTF8.self))
}
