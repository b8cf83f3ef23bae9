import LanguageModels
import TensorFiles
import TensorStorage

/// A model as a Hugging Face directory holds it: `config.json` and safetensors weights.
public struct HuggingFaceModel {
  /// The model's configuration, expanded layers included.
  public let configuration: ModelConfiguration
  /// The weights in single precision.
  public let parameters: ParameterArena
  /// `config.json` as it was read; given back to an export, fields that this program has no use for
  /// survive.
  public let raw: JSONValue

  /// Reads a model directory.
  ///
  /// The weights are `model.safetensors`, or the shards that `model.safetensors.index.json` names, in
  /// F32, BF16 or F16, converted exactly. They are mapped, not copied, before the conversion. Both of
  /// fla's names of the output norm, gate and up projections in one tensor, a stored tied head, and
  /// a doubled `model.model.` prefix are understood.
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
    let (configuration, raw, dialect) = try readConfiguration(directory: directory)
    let files = try WeightFiles(directory: directory)
    let parameters = try TensorImport(
      files, into: configuration, trainable: trainable, dialect: dialect
    ).read()
    return HuggingFaceModel(configuration: configuration, parameters: parameters, raw: raw)
  }

  /// Reads only `config.json` of a model directory.
  ///
  /// - Throws: as `load(directory:)`.
  public static func loadConfiguration(
    directory: String
  ) throws(InteropError) -> (configuration: ModelConfiguration, raw: JSONValue) {
    let (configuration, raw, _) = try readConfiguration(directory: directory)
    return (configuration, raw)
  }

  private static func readConfiguration(
    directory: String
  ) throws(InteropError) -> (ModelConfiguration, JSONValue, any ModelDialect) {
    // A path that is no directory is a mistake of the caller or of a mount, not of the data in it.
    _ = try FileSystem.entries(of: directory)
    let path = directory + "/" + ModelFileNames.config
    guard FileSystem.exists(path) else {
      throw .malformed(
        file: path, problem: "not found; a Hugging Face model directory holds a config.json")
    }
    let raw = try FileSystem.json(path)
    let configuration = try ModelConfiguration(configJSON: raw, source: path)
    guard case .object(let fields) = raw else {
      throw .malformed(file: path, problem: "expected an object of fields")
    }
    let dialect = try ModelDialects.find(ConfigReader(file: path, object: fields))
    return (configuration, raw, dialect)
  }
}
