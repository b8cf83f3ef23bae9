import ErrorReporting
import Files
import JSON
import LanguageModels
import TensorStorage

/// How an export introduces itself to other programs.
public struct ExportSummary: Sendable, Equatable {
  /// `model_type` in its `config.json`, if that has one.
  public let modelType: String?
  /// The layers that differ from what the family's fields describe; none in an export that the
  /// family's own code opens.
  public let expandedLayers: [Int]
  /// The file that holds the model card, if there is one: not `README.md` where somebody's own stands.
  public internal(set) var cardFile: String?
}

extension HuggingFaceModel {
  /// The `config.json` with which an export describes a model.
  ///
  /// - Parameters:
  ///   - configuration: the model; layers that differ from its base are listed under `statex`.
  ///   - rawConfig: a `config.json` to keep the other fields of.
  ///   - dtype: the weights' types.
  /// - Returns: the whole object; decoding it gives back `configuration`, whose base is then what all
  ///   layers are if they are equal.
  /// - Throws: `InteropError.refused` when `config.json` cannot describe the model.
  public static func configJSON(
    of configuration: ModelConfiguration, rawConfig: JSONValue? = nil,
    dtype: ElementTypes = .float32
  ) throws(InteropError) -> JSONValue {
    try ConfigEncoder(configuration, raw: rawConfig, dtype: dtype, path: "config.json").encoded()
  }

  /// Shards are not larger than this unless asked for, as in current transformers.
  public static let defaultShardBytes = 50_000_000_000

  /// Writes a model directory, whole or not at all.
  ///
  /// A model whose layers are all equal is written as the family's own, which transformers and fla open.
  /// One whose layers differ has a `model_type` and a class of its own (`statex_gla`,
  /// `StatexGLAForCausalLM`), so that programs that know one shape for all layers refuse it, and holds the
  /// Python code of that class, with which transformers opens it (`trust_remote_code=True`).
  ///
  /// The same model always gives the same bytes. An export that stands at `directory` is replaced
  /// without a moment in which neither is there; any other non-empty directory is left alone.
  ///
  /// - Parameters:
  ///   - configuration: the model; layers that differ from its base are listed under `statex`.
  ///   - parameters: its weights.
  ///   - rawConfig: a `config.json` to keep the other fields of, as `load` returned it.
  ///   - directory: where; folders above it are created.
  ///   - dtype: the weights' types.
  ///   - maxShardBytes: weights beyond this size are split over several files, or refused where `format`
  ///     knows one file only.
  ///   - extras: tokenizer files, a model card, and whose own code must open the export.
  ///   - isInterrupted: asked between tensors; once it says true the export is given up, and what stood at
  ///     `directory` stays.
  /// - Returns: what the export is to other programs.
  /// - Throws: `InteropError`: `.refused` (class 64) for a model that `config.json` or `format` cannot
  ///   describe, or a directory that is not an export, `.file` (class 74) when writing fails,
  ///   `.interrupted`.
  /// - Precondition: `parameters` has a layout of `configuration`, whatever is trained; the files do not
  ///   depend on which.
  @discardableResult
  public static func export(
    configuration: ModelConfiguration, parameters: ParameterArena, rawConfig: JSONValue? = nil,
    to directory: String, dtype: ElementTypes = .float32,
    maxShardBytes: Int = defaultShardBytes, extras: ExportExtras = ExportExtras(),
    isInterrupted: () -> Bool = { false }
  ) throws(InteropError) -> ExportSummary {
    let layout = configuration.layout()
    require(
      parameters.layout.holdsTheSame(as: layout), "parameters of another configuration")
    let (raw, code) = try withItsCode(rawConfig, in: extras.source)
    let encoder = try ConfigEncoder(
      configuration, raw: raw, dtype: dtype, path: directory, format: extras.format)
    let config = try encoder.encoded()
    var summary = encoder.summary
    if extras.card != nil { summary.cardFile = try cardFile(at: directory) }
    let export = try ExportDirectory(target: directory)
    do throws(InteropError) {
      try InteropError.from { () throws(FileError) in
        try OutputFile.write(
          config.encoded() + Array("\n".utf8), creating: export.path + "/" + ModelFileNames.config)
        for file in encoder.code?.files ?? [] {
          try OutputFile.write(file.bytes, creating: export.path + "/" + file.name)
        }
      }
      try WeightWriter(
        parameters, StoredParameter.all(of: configuration, dialect: encoder.dialect), types: dtype,
        maxShardBytes: maxShardBytes
      ).write(encoder.dialect.weightFormat, to: export.path, isInterrupted: isInterrupted)
      if let card = extras.card, let file = summary.cardFile {
        let text = card.text(of: encoder.configuration, types: dtype, summary: summary)
        try InteropError.from(
          try OutputFile.write(Array(text.utf8), creating: export.path + "/" + file))
      }
      if let source = extras.source {
        let names = try Companions.names(in: source) + (encoder.keepsCode ? code : [])
        for name in Set(names).sorted() {
          try InteropError.from { () throws(FileError) in
            let file = try MappedFile(path: source + "/" + name)
            try file.requireFetched()
            try FileSystem.copy(file, to: export.path + "/" + name)
          }
        }
      }
      try InteropError.from(try ExportSums.write(in: export.path))
      try export.commit()
    } catch {
      export.discard()
      throw error
    }
    return summary
  }

  /// Where a card is written: where somebody's own `README.md` stands, beside it.
  private static func cardFile(at directory: String) throws(InteropError) -> String {
    let path = directory + "/" + ModelFileNames.card
    guard try InteropError.from(try FileSystem.exists(path, followingLinks: false)) else {
      return ModelFileNames.card
    }
    guard let file = try? MappedFile(path: path) else { return ModelFileNames.secondCard }
    let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
    return ModelCard.isUntouched(text) ? ModelFileNames.card : ModelFileNames.secondCard
  }

  /// A `config.json` and the Python files that it names, or without their names where they are not
  /// there.
  private static func withItsCode(
    _ raw: JSONValue?, in source: String?
  ) throws(InteropError) -> (JSONValue?, [String]) {
    guard case .object(var fields)? = raw, let autoMap = fields["auto_map"] else {
      return (raw, [])
    }
    if let source, let code = try Companions.code(autoMap, in: source) { return (raw, code) }
    fields["auto_map"] = nil
    return (.object(fields), [])
  }
}
