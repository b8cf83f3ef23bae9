import Compression
import Fields
import Files

/// What can go wrong while checkpoints are saved, found, verified or read.
public enum CheckpointError: FileErrorConvertible, FieldErrorConvertible, Equatable, Sendable {
  /// A file could not be read or written, or is not of its format.
  case file(FileError)

  /// A field of a manifest, or of what another rank said, cannot be what was written.
  case field(FieldError)

  /// A file, directory or request breaks a rule at `field`.
  case invalid(path: String, field: String, reason: String)

  /// The checkpoint at `path` does not verify.
  case damaged(path: String, problems: [CheckpointProblem])

  /// None of the checkpoints of the run in that directory verifies.
  case noneValid(run: String, rejected: [CheckpointCatalog.Rejected])

  /// The step was not saved, on any rank; what was saved before is untouched.
  case notSaved(step: Int, failures: [RankFailure])

  /// Another process holds the run directory.
  case locked(path: String, owner: String)

  /// The ranks could not agree, or could not talk to each other.
  case coordination(String)

  /// Reading the checkpoint at `path` was given up because somebody asked for that.
  case interrupted(path: String)

  /// One line: what, where, why.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .field(let error): error.description
    case .invalid(let path, let field, let reason): "\(path): \(field): \(reason)"
    case .damaged(let path, let problems):
      "checkpoint \(path) is damaged: " + problems.map(\.description).joined(separator: "; ")
    case .noneValid(let run, let rejected):
      "\(run) holds no valid checkpoint: "
        + rejected.prefix(Self.listed).map(\.reason).joined(separator: "; ")
        + (rejected.count > Self.listed ? "; and \(rejected.count - Self.listed) older ones" : "")
        + ": restore one of them from a copy, or move \(run)/checkpoints away to start over"
    case .notSaved(let step, let failures):
      "step \(step) was not saved: " + failures.map(\.description).joined(separator: "; ")
    case .locked(let path, let owner):
      "run directory \(path) is in use by \(owner): wait for it to end,"
        + " or give this run another directory"
    case .coordination(let reason): "the ranks cannot save together: \(reason)"
    case .interrupted(let path): "\(path): reading was interrupted"
    }
  }

  /// Checkpoints that a line tells of.
  private static let listed = 5

  /// The exit code of a command that ends with this error.
  ///
  /// 74 for I/O, 65 for bad data, 64 for a directory in use, 70 when the ranks disagree.
  public var exitCode: Int32 {
    switch self {
    case .file(let error): error.exitCode
    case .notSaved: 74
    case .field, .invalid, .damaged, .noneValid: 65
    case .locked: 64
    case .coordination: 70
    case .interrupted: 75
    }
  }
}

extension CheckpointError {
  /// Whether the error is about what is stored: a missing, foreign or damaged file.
  ///
  /// Otherwise the system refused (no descriptor left, a stale handle, a failing disk): then nothing is
  /// known about the checkpoint, and it must not be passed over for an older one.
  var isDamage: Bool {
    switch self {
    case .file(let error): return error.exitCode == 65 || error.saysAbsent
    case .interrupted: return false
    default: return true
    }
  }
}

/// One file of a checkpoint that does not verify.
public struct CheckpointProblem: Sendable, Equatable, CustomStringConvertible {
  /// The file's path.
  public let path: String

  /// What is wrong with it.
  public let reason: String

  /// The path and the reason.
  public var description: String { "\(path): \(reason)" }
}

/// Why one rank could not do its part of a save.
public struct RankFailure: Sendable, Equatable, CustomStringConvertible {
  /// The rank, which is the index of its shard.
  public let rank: Int

  /// The error's text.
  public let message: String

  /// The rank and the error.
  public var description: String { "rank \(rank): \(message)" }
}

extension CheckpointError {
  init(_ error: CompressionError, path: String) {
    self = .invalid(path: path, field: "compressed data", reason: error.description)
  }
}

/// `array.withUnsafeBytes` for bodies with a typed error, which the standard library's lacks.
func withBytes<Result>(
  of array: [UInt8], _ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> Result
) throws(CheckpointError) -> Result {
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: array.count, alignment: 16)
  defer { bytes.deallocate() }
  bytes.copyBytes(from: array)
  return try body(UnsafeRawBufferPointer(bytes))
}

/// Runs `body`, turning errors about the compressed file at `path` into this room's.
func translatingErrors<Result>(
  path: String, _ body: () throws(CompressionError) -> Result
) throws(CheckpointError) -> Result {
  do { return try body() } catch { throw CheckpointError(error, path: path) }
}
