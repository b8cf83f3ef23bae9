import Fields
import Files
import JSON
import LanguageModels
import TensorFiles
import TensorStorage

/// A model as a Hugging Face directory holds it: `config.json` and weights.
public struct HuggingFaceModel {
  /// The model's configuration, expanded layers included.
  public let configuration: ModelConfiguration
  /// The weights in single precision.
  public let parameters: ParameterArena
  /// `config.json` as it was read; given back to an export, fields that this program has no use for
  /// survive.
  public let raw: JSONValue
  /// The type in which each weight is stored.
  public let elementTypes: ElementTypes
  /// What a user should know about `config.json`, a line each: that it is not the exported one, fields that
  /// nothing reads.
  public let warnings: [String]

  /// Reads a model directory.
  ///
  /// The weights are `model.safetensors`, or the shards that `model.safetensors.index.json` names; where
  /// neither is there, `pytorch_model.bin` or its shards, in which nothing is run. Their types are F32,
  /// BF16 or F16, converted exactly. They are mapped, not copied, before the conversion. Both of
  /// fla's names of the output norm, gate and up projections in one tensor, a stored tied head, a tied
  /// head without the embeddings, and the prefixes of wrappers (`module.`, `_orig_mod.`, a doubled
  /// `model.model.`) are understood. Weights that are infinite or not numbers are refused, and so are files that
  /// are not what an export's `XXH64SUMS` says.
  ///
  /// - Parameters:
  ///   - directory: the directory's path.
  ///   - trainable: what decides the order of the weights in memory.
  /// - Returns: configuration, weights, and the original `config.json`.
  /// - Throws: `InteropError`, of class 65 for a file that is missing, malformed or contradicts
  ///   another, of class 74 when the directory is not there or the system refuses to read.
  public static func load(
    directory: String, trainable: TrainableParameters = .all
  ) throws(InteropError) -> HuggingFaceModel {
    let file = try ConfigFile(directory: directory)
    let files = try WeightFiles(directory: directory)
    let weights = try file.explaining { () throws(InteropError) in
      try TensorImport(
        files, into: file.configuration, trainable: trainable,
        dialect: file.dialect)
    }
    // What is wrong with values or headers tells more than that a hash differs.
    let parameters = try file.explaining { () throws(InteropError) in try weights.read() }
    try ExportSums.check(files.names, in: directory)
    return HuggingFaceModel(
      configuration: file.configuration, parameters: parameters, raw: file.raw,
      elementTypes: weights.elementTypes, warnings: file.warnings)
  }

  /// Reads only `config.json` of a model directory.
  ///
  /// - Throws: as `load(directory:)`.
  public static func loadConfiguration(
    directory: String
  ) throws(InteropError) -> (configuration: ModelConfiguration, raw: JSONValue, warnings: [String])
  {
    let file = try ConfigFile(directory: directory)
    return (file.configuration, file.raw, file.warnings)
  }

  /// What the weight files of a model directory hold, from their headers.
  ///
  /// - Throws: as `load(directory:)`, without reading a weight: files that are missing or malformed,
  ///   tensors that do not fit `config.json`.
  public static func describeWeights(directory: String) throws(InteropError) -> WeightSummary {
    let file = try ConfigFile(directory: directory)
    let files = try WeightFiles(directory: directory)
    let weights = try file.explaining { () throws(InteropError) in
      try TensorImport(
        files, into: file.configuration, trainable: .all, dialect: file.dialect)
    }
    return WeightSummary(
      fileCount: Set(files.tensors.map(\.file.path)).count,
      byteCount: files.tensors.reduce(0) { $0 + $1.range.count },
      elementTypes: weights.elementTypes)
  }
}

/// The weight files of a model directory.
public struct WeightSummary: Sendable, Equatable {
  /// How many there are.
  public let fileCount: Int
  /// Bytes of all tensors.
  public let byteCount: Int
  /// The type of each parameter.
  public let elementTypes: ElementTypes
}

/// The `config.json` of a model directory.
private struct ConfigFile {
  let configuration: ModelConfiguration
  let raw: JSONValue
  let dialect: any ModelDialect
  let warnings: [String]
  /// What is known of a file that is not the exported one.
  private let change: String?

  init(directory: String) throws(InteropError) {
    // A path that is no directory is a mistake of the caller or of a mount, not of the data in it.
    _ = try InteropError.from(try FileSystem.list(directory))
    let path = directory + "/" + ModelFileNames.config
    guard try InteropError.from(try FileSystem.exists(path)) else {
      throw .malformed(
        file: path, problem: "not found; a Hugging Face model directory holds a config.json")
    }
    raw = try InteropError.from(try JSONValue(contentsOf: path, allowsNonFinite: true))
    configuration = try ModelConfiguration(configJSON: raw, source: path)
    guard case .object(let fields) = raw else {
      throw .malformed(file: path, problem: "expected an object of fields")
    }
    let value = FieldValue(json: raw, place: .source(path))
    dialect = try InteropError.reading { () throws(FieldError) in
      try ModelDialects.find(ConfigReader(value, keys: nil))
    }
    change = try ExportSums.changedConfiguration(in: directory)
    warnings =
      (change.map { [$0] } ?? []) + ConfigWarnings.lines(fields, dialect: dialect, source: path)
  }

  /// Reads weights; where they do not fit, it may be the configuration that is wrong.
  func explaining<Value>(
    _ read: () throws(InteropError) -> Value
  ) throws(InteropError) -> Value {
    do throws(InteropError) {
      return try read()
    } catch {
      throw change.map { error.noting($0) } ?? error
    }
  }
}
