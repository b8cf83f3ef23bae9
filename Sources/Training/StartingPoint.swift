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
  /// What the user should know.
  var warnings: [String]
  /// Newer checkpoints of the run that do not verify.
  var rejected: [CheckpointCatalog.Rejected] = []

  /// As text for the other ranks: path and run identity.
  var message: String { runID + "\n" + (checkpoint ?? "") }

  init(message: String) {
    let lines = message.split(separator: "\n", omittingEmptySubsequences: false)
    runID = String(lines.first ?? "")
    checkpoint = lines.count > 1 && !lines[1].isEmpty ? String(lines[1]) : nil
    warnings = []
  }

  /// Decides where a run starts; on the lead rank only.
  ///
  /// - Throws: `CheckpointError`; `TrainingError.runExists` when nothing may be overwritten.
  init(_ mode: ResumeMode, output: String) throws {
    warnings = []
    let entries = try CheckpointCatalog.entries(in: output)
    switch mode {
    case .never:
      guard entries.isEmpty else {
        throw TrainingError.runExists(
          "\(output) already holds checkpoints; resume with --resume auto, or choose another "
            + "run.output")
      }
      runID = Self.newID()
    case .auto:
      guard !entries.isEmpty else {
        runID = Self.newID()
        return
      }
      let reader: CheckpointReader
      (reader, rejected) = try Self.newest(in: output, &warnings)
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
    case .path(let path):
      let isStep = try FileSystem.exists(path + "/" + CheckpointManifest.fileName)
      let reader =
        try isStep ? CheckpointReader(path: path) : Self.newest(in: path, &warnings).reader
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
      // They would be taken for this run's own by the next restart.
      let isOwn = try FileSystem.isSame(reader.path + "/..", output + "/checkpoints")
      let foreign = entries.filter { $0.step > reader.manifest.step || !isOwn }
      if let other = foreign.first {
        throw TrainingError.runExists(
          "\(output) holds other checkpoints (\(other.path)); move them away or choose another "
            + "run.output")
      }
    }
  }

  /// The newest checkpoint that verifies; newer damaged ones are warned of.
  private static func newest(
    in run: String, _ warnings: inout [String]
  ) throws -> (reader: CheckpointReader, rejected: [CheckpointCatalog.Rejected]) {
    let selection = try CheckpointCatalog.latestValid(in: run)
    warnings += selection.rejected.map { "skipping a damaged checkpoint: \($0)" }
    guard let reader = selection.reader else {
      throw TrainingError.runExists(
        "\(run) holds no valid checkpoint"
          + (selection.rejected.first.map { ": \($0)" } ?? "")
          + "; move \(run)/checkpoints away to begin anew")
    }
    return (reader, selection.rejected)
  }

  private static func newID() -> String { UUID().uuidString.lowercased() }
}
