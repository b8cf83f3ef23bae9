import Checkpointing
import CommandSupport
import Evaluation
import Files
import HuggingFaceInterop
import LanguageModels
import TensorStorage
import TokenData
import Training

/// Where a model is read: a Hugging Face directory, a checkpoint, or a run, which means its newest
/// checkpoint that verifies.
enum ModelSource {
  case directory(String)
  case checkpoint(String, CheckpointExport)

  /// Finds out what is at `path`.
  ///
  /// - Throws: what reading a checkpoint's recipe throws; `CommandError.data` for a run without a usable
  ///   checkpoint.
  init(_ path: String) throws {
    func exists(_ suffix: String) throws(FileError) -> Bool {
      try FileSystem.exists(path + suffix)
    }
    if try exists("/config.json") || !exists("") {
      self = .directory(path)
    } else if try exists("/" + CheckpointManifest.fileName) {
      self = try .init(checkpoint: path)
    } else if try exists("/checkpoints") {
      let selection = try CheckpointCatalog.latestValid(in: path)
      guard let reader = try selection.reader(of: path) else {
        throw CommandError.data("\(path): there is no complete checkpoint in this run")
      }
      warn(selection.rejected.map { "skipping a damaged checkpoint: \($0)" })
      self = try .init(checkpoint: reader.path)
    } else {
      self = .directory(path)
    }
  }

  private init(checkpoint path: String) throws {
    let run = FileSystem.parent(of: FileSystem.parent(of: path))
    let recipe = try Recipe.load(
      path: run + "/recipe.yaml", overrides: ["run.output=" + run])
    self = .checkpoint(path, try CheckpointExport([path], recipe: recipe))
  }

  /// The directory or checkpoint itself.
  var path: String {
    switch self {
    case .directory(let path), .checkpoint(let path, _): path
    }
  }

  /// Reads the weights.
  func load(segmentLength: Int) throws -> EvaluatedModel {
    switch self {
    case .directory(let path):
      let loaded = try HuggingFaceModel.load(directory: path)
      warn(loaded.warnings)
      return EvaluatedModel(
        LanguageModel(loaded.configuration), parameters: loaded.parameters.buffer,
        segmentLength: segmentLength)
    case .checkpoint(_, let checkpoint):
      return EvaluatedModel(
        checkpoint.languageModel, parameters: try checkpoint.parameters().buffer,
        segmentLength: segmentLength)
    }
  }

  /// The directory with tokenizer and generation_config.json: the model's, or that of the pretrained model
  /// of a run; nil for a run from scratch.
  var companionDirectory: String? {
    switch self {
    case .directory(let path): path
    case .checkpoint(_, let checkpoint): checkpoint.tokenizerDirectory
    }
  }

  /// Reads a tokenizer, the model's own unless another is named.
  ///
  /// - Throws: `CommandError.usage` where there is none; `TokenDataError`.
  func tokenizer(_ name: String?) throws -> any Tokenizer {
    guard let directory = name ?? companionDirectory else {
      throw CommandError.usage("\(path) has no tokenizer; give --tokenizer DIR or byte")
    }
    return try loadTokenizer(directory)
  }
}
