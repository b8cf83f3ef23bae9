import Checkpointing
import Foundation
import TensorFiles
import TensorStorage

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
    let entries = try Self.hasCheckpoints(output) ? CheckpointCatalog.entries(in: output) : []
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
      let reader = try Self.newest(in: output, &warnings)
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
    case .path(let path):
      let isStep = FileManager.default.fileExists(atPath: path + "/" + "manifest.json")
      let reader = try isStep ? CheckpointReader(path: path) : Self.newest(in: path, &warnings)
      (checkpoint, runID) = (reader.path, reader.manifest.runID)
      // They would be taken for this run's own by the next restart.
      let foreign = entries.filter {
        $0.step > reader.manifest.step || !reader.path.hasPrefix(output + "/")
      }
      if let other = foreign.first {
        throw TrainingError.runExists(
          "\(output) holds other checkpoints (\(other.path)); move them away or choose another "
            + "run.output")
      }
    }
  }

  private static func hasCheckpoints(_ run: String) -> Bool {
    FileManager.default.fileExists(atPath: run + "/checkpoints")
  }

  /// The newest checkpoint that verifies; newer damaged ones are warned of.
  private static func newest(
    in run: String, _ warnings: inout [String]
  ) throws -> CheckpointReader {
    let selection = try CheckpointCatalog.latestValid(in: run)
    warnings += selection.rejected.map { "skipping a damaged checkpoint: \($0)" }
    guard let reader = selection.reader else {
      throw TrainingError.runExists(
        "\(run) holds no valid checkpoint"
          + (selection.rejected.first.map { ": \($0)" } ?? "")
          + "; move \(run)/checkpoints away to begin anew")
    }
    return reader
  }

  private static func newID() -> String { UUID().uuidString.lowercased() }
}

/// What a checkpoint says about the run beside its weights.
struct TrainingRecord {
  /// Steps done.
  var step: Int
  /// Tokens trained on.
  var tokens: Int
  /// What identifies the data and the order of samples.
  var identity: [(field: String, value: String)]

  /// As stored in the manifest.
  var json: JSONValue {
    .object([
      JSONMember("step", .number(String(step))), JSONMember("tokens", .number(String(tokens))),
      JSONMember(
        "identity", .object(identity.map { JSONMember($0.field, .string($0.value)) })),
    ])
  }

  /// Refuses to go on with other data than the checkpoint was trained on.
  ///
  /// - Throws: `TrainingError.changed` naming the first difference.
  static func check(
    _ stored: JSONValue, against identity: [(field: String, value: String)]
  ) throws {
    guard case .object(let members) = stored,
      case .object(let old)? = members.first(where: { $0.name == "identity" })?.value
    else { return }
    for (field, now) in identity {
      guard case .string(let was)? = old.first(where: { $0.name == field })?.value else {
        throw TrainingError.changed(field: field, was: "absent", now: now)
      }
      guard was == now else { throw TrainingError.changed(field: field, was: was, now: now) }
    }
  }
}

/// Writes a small text file whole or not at all.
func writeAtomically(_ text: String, to path: String) throws {
  do {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  } catch {
    throw TrainingError.io(path: path, reason: error.localizedDescription)
  }
}

/// Makes a directory and those above it.
func makeDirectory(_ path: String) throws {
  do {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  } catch {
    throw TrainingError.io(
      path: path, reason: "cannot make the folder: \(error.localizedDescription)")
  }
}

/// Removes a run directory that holds nothing but the lock that this process has on it.
func removeUnusedRun(_ path: String) {
  let files = FileManager.default
  guard (try? files.contentsOfDirectory(atPath: path)) == [".lock"] else { return }
  try? files.removeItem(atPath: path)
}
