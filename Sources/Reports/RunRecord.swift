import Checkpointing
import ErrorReporting
import Files
import HuggingFaceInterop
import JSON
import LanguageModels
import Training
import TrainingMetrics

/// What a run directory says about its run.
struct RunRecord {
  /// The directory.
  let path: String
  /// The loss and more by tokens; nil where the run has not logged yet.
  private(set) var curves: RunCurves?
  /// What was measured on the way, in the order of steps.
  private(set) var evaluations: [(step: Int, measured: MeasuredColumn)] = []
  /// The recipe's name of the run.
  private(set) var name: String?
  /// The recipe's keys and values; empty without a recipe.
  private(set) var settings: [(name: String, value: String)] = []
  /// The model; nil where nothing describes it.
  private(set) var model: ModelConfiguration?
  /// The program, libraries, ranks and machine, and what became of the run.
  private(set) var environment: [(name: String, value: String)] = []

  /// Files of which a run directory has at least one.
  private static let files = [
    "recipe.yaml", "metrics.jsonl", "evaluation.jsonl", RunStatus.fileName, "checkpoints",
  ]

  /// Whether a directory is that of a run.
  static func isRun(_ path: String) throws(FileError) -> Bool {
    for file in files where try FileSystem.exists(path + "/" + file) { return true }
    return false
  }

  /// Reads a run directory.
  ///
  /// Any part may be absent, which is a run that has not come so far, or a copy of a part of one.
  ///
  /// - Throws: `FileError`, `MetricsError`, `RecipeError`, `InteropError`, `CheckpointError`,
  ///   `TrainingError`, `ReportError`: a part that is there and damaged.
  init(_ path: String) throws {
    self.path = path
    var recipe: Recipe?
    if try FileSystem.exists(path + "/recipe.yaml") {
      let read = try Recipe.load(path: path + "/recipe.yaml")
      (recipe, name, settings) = (read, read.run.name, read.settings)
    }
    let metrics = path + "/metrics.jsonl"
    if try FileSystem.exists(metrics) {
      let read = try RunCurves(path: metrics, logEvery: recipe?.metrics.logEvery ?? 1)
      curves = read.rows > 0 ? read : nil
    }
    try readEvaluations()
    if try FileSystem.exists(path + "/export/config.json") {
      model = try HuggingFaceModel.loadConfiguration(directory: path + "/export").configuration
    } else if let recipe {
      // The pretrained model may be gone: then nothing describes the layers.
      model = try? RunModel(recipe).configuration
    }
    try readEnvironment()
  }

  private mutating func readEvaluations() throws {
    let path = path + "/evaluation.jsonl"
    let contents = try InputFile.contentsIfPresent(of: path) ?? []
    let end = contents.lastIndex(of: UInt8(ascii: "\n")) ?? 0
    for (index, line) in contents[..<end].split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false
    ).enumerated() {
      let row = Array(line.drop { $0 == 0 })
      if row.isEmpty { continue }
      let json = try row.withUnsafeBytes { bytes throws(FileError) -> JSONValue in
        var cursor = JSONCursor(bytes, source: path, firstLine: index + 1)
        let value = try cursor.value()
        try cursor.expectEnd()
        return value
      }
      guard let step = json["step"]?.integer(as: Int.self), step > 0 else {
        throw ReportError.data("\(path):\(index + 1)", "not an evaluation of a step")
      }
      // As in the metrics, the row that was written last counts.
      while let last = evaluations.last, last.step >= step { evaluations.removeLast() }
      evaluations.append((step, MeasuredColumn(title: "", report: json)))
    }
  }

  /// What the newest checkpoint recorded, and what the status says.
  private mutating func readEnvironment() throws {
    if let entry = try CheckpointCatalog.entries(in: path).first {
      let manifest = try CheckpointReader(path: entry.path).manifest
      let record = try TrainingRecord(manifest.training, path: entry.path)
      environment = record.environment?.entries ?? []
      environment.append(("host", manifest.creation.host))
      environment.append(("last checkpoint", "step \(manifest.step), \(manifest.creation.time)"))
    }
    let (status, doubt) = try RunStatus.find(in: path)
    if let doubt { throw doubt }
    guard let status else { return }
    environment.append(
      ("state", status.state.rawValue + (status.failure.map { ": \($0.line)" } ?? "")))
    environment.append(("launches", "\(status.launches)"))
    environment.append(("last launch", status.started))
  }
}
