import Checkpointing
import Files
import Foundation

/// Where a run starts from.
public enum ResumeMode: Sendable, Equatable {
  /// From the newest valid checkpoint of the run directory, from the beginning if there is none.
  case auto
  /// From the beginning; refused when the run directory holds checkpoints.
  case never
  /// From that checkpoint directory, or the newest valid one of that run directory.
  case path(String)

  /// Reads `auto`, `never` or a path.
  public init(_ text: String) {
    switch text {
    case "auto": self = .auto
    case "never": self = .never
    default: self = .path(text)
    }
  }
}

/// What the lead rank found in the run directory.
struct StartingPoint {
  /// The checkpoint to continue from; nil to begin.
  var checkpoint: String?
  /// The run's identity, the same over its restarts.
  var runID: String
  /// Whether the checkpoint is one of the run directory's own.
  var isOwn = true
  /// What the user should know.
  var warnings: [String] = []
  /// Newer checkpoints of the run that do not verify.
  var rejected: [CheckpointCatalog.Rejected] = []
  /// The step that was asked for although newer ones are there, which are to be kept aside.
  var goesBackTo: Int?
  /// What earlier launches wrote about the run.
  var status: RunStatus?

  /// As text for the other ranks: run identity, whose the checkpoint is, and its path.
  var message: String {
    [runID, isOwn ? "own" : "other", checkpoint ?? ""].joined(separator: "\n")
  }

  init(message: String) {
    let lines = message.split(separator: "\n", maxSplits: 2, omittingEmptySubsequences: false)
    runID = String(lines.first ?? "")
    isOwn = lines.count > 1 && lines[1] == "own"
    checkpoint = lines.count > 2 && !lines[2].isEmpty ? String(lines[2]) : nil
  }

  /// Decides where a run starts; on the lead rank only.
  ///
  /// - Throws: `CheckpointError`, `.noneValid` when there are checkpoints and all are damaged; `FileError`;
  ///   `TrainingError.runExists` when nothing may be overwritten, or when checkpoints of another run lie in the
  ///   directory; `TrainingError.launch` when the run to go on from has no checkpoint.
  init(
    _ mode: ResumeMode, output: String, isInterrupted: @escaping () -> Bool = { false }
  ) throws {
    let entries = try CheckpointCatalog.entries(in: output)
    let (status, doubt) = try RunStatus.find(in: output)
    self.status = status
    if let doubt { warnings.append("\(doubt); it will be rewritten") }
    runID = status?.runID ?? Self.newID()
    if mode != .never { try Self.requireOneRun(in: output, status?.runID) }
    switch mode {
    case .never:
      guard entries.isEmpty else {
        throw TrainingError.runExists(
          "\(output) already holds checkpoints; resume with --resume auto, or choose another "
            + "run.output")
      }
      (runID, self.status) = (Self.newID(), nil)
    case .auto:
      guard !entries.isEmpty else { return }
      let reader: CheckpointReader
      (reader, rejected) = try Self.newest(in: output, &warnings, isInterrupted)
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
    case .path(let path):
      let isStep = try FileSystem.exists(path + "/" + CheckpointManifest.fileName)
      let reader =
        try isStep
        ? CheckpointReader(path: path) : Self.newest(in: path, &warnings, isInterrupted).reader
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
      isOwn = try FileSystem.isSame(reader.path + "/..", output + "/checkpoints")
      // They would be taken for this run's own by the next restart.
      if !isOwn, let other = entries.first {
        throw TrainingError.runExists(
          "\(output) holds other checkpoints (\(other.path)); move them away or choose another "
            + "run.output")
      }
      if !isOwn { self.status = nil }
      if isOwn, entries.contains(where: { $0.step > reader.manifest.step }) {
        goesBackTo = reader.manifest.step
      }
    }
  }

  /// Refuses a directory in which checkpoints of several runs lie: going on from the newest of them would
  /// silently be another run.
  private static func requireOneRun(in output: String, _ known: String?) throws {
    let owners = try CheckpointCatalog.owners(in: output)
    guard let runID = known ?? owners.last?.runID,
      let other = owners.first(where: { $0.runID != runID })
    else { return }
    let own = owners.first { $0.runID == runID }?.0.path ?? RunStatus.fileName
    throw TrainingError.runExists(
      "\(other.0.path) belongs to run \(other.runID), \(own) to run \(runID): \(output) is one run's "
        + "directory; move the other's checkpoints away, or choose another run.output")
  }

  /// Renames what the run does not go on from; on the lead rank only, when nothing can refuse any more.
  ///
  /// - Returns: what the user should know.
  /// - Throws: `CheckpointError`, `FileError`.
  func setAside(in output: String) throws -> [String] {
    try CheckpointCatalog.setAside(rejected, in: output)
    guard let goesBackTo else { return [] }
    let paths = try CheckpointCatalog.setAside(newerThan: goesBackTo, in: output)
    var notes = [
      "going back to step \(goesBackTo); newer checkpoints are kept as \(paths.joined(separator: ", "))"
    ]
    for name in ["metrics", "evaluation"] {
      let path = "\(output)/\(name).jsonl"
      guard let rows = try InputFile.contentsIfPresent(of: path) else { continue }
      var number = 1
      while try FileSystem.exists("\(output)/\(name).aside-\(number).jsonl") { number += 1 }
      try FileReplacement.write(rows, to: "\(output)/\(name).aside-\(number).jsonl")
      notes.append("its previous rows are kept in \(name).aside-\(number).jsonl")
    }
    return notes
  }

  /// The newest checkpoint that verifies; newer damaged ones are warned of.
  private static func newest(
    in run: String, _ warnings: inout [String], _ isInterrupted: @escaping () -> Bool
  ) throws -> (reader: CheckpointReader, rejected: [CheckpointCatalog.Rejected]) {
    let selection = try CheckpointCatalog.latestValid(in: run, isInterrupted: isInterrupted)
    guard let reader = try selection.reader(of: run) else {
      throw TrainingError.launch(
        "\(run) holds no checkpoint: --resume takes auto, never, a checkpoint, or a run that has one"
      )
    }
    warnings += selection.rejected.map { "skipping a damaged checkpoint: \($0)" }
    return (reader, selection.rejected)
  }

  private static func newID() -> String { UUID().uuidString.lowercased() }
}
