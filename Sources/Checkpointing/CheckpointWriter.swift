import Compression
import Foundation
import JSON
import TensorFiles
import TensorStorage

/// What is saved.
public struct CheckpointContents {
  /// The training step after which the values were taken.
  public let step: Int

  /// Where each tensor lies in the stores.
  public let layout: ParameterLayout

  /// The values; each rank needs those of its own shards only, which `ArenaPartition` names.
  ///
  /// All ranks give the same names in the same order.
  public let stores: [CheckpointStore]

  /// What the trainer wants to find again.
  public let training: JSONValue

  /// Where it is made.
  public let creation: CheckpointCreation

  /// How the stores are divided among the shards.
  public let grain: ArenaPartition.Grain

  /// Describes what is saved.
  public init(
    step: Int, layout: ParameterLayout, stores: [CheckpointStore], training: JSONValue,
    creation: CheckpointCreation, grain: ArenaPartition.Grain = .standard
  ) {
    self.grain = grain
    self.step = step
    self.layout = layout
    self.stores = stores
    self.training = training
    self.creation = creation
  }
}

/// What a save did.
public struct SaveReport: Sendable, Equatable {
  /// The committed checkpoint's directory.
  public let path: String

  /// Bytes of all shards.
  public let byteCount: Int

  /// Steps that retention removed; only the process that owns shard 0 fills this.
  public internal(set) var prunedSteps: [Int] = []

  /// What went wrong without harm, for example a checkpoint that could not be removed.
  public internal(set) var warnings: [String] = []
}

/// Saves the checkpoints of one run, one writer a process.
///
/// See docs/checkpoint-format.md for the protocol. Not thread safe.
public final class CheckpointWriter {
  /// zstd's level: the fastest that makes weights smaller (higher ones gain nothing on them).
  public static let compressionLevel: Int32 = 1

  let directory: CheckpointDirectory
  let runID: String
  let compressor: FrameCompressor
  let encoding: ShardEncoding

  /// Which checkpoints stay when a new one is saved.
  public var retention: Retention

  /// Prepares to save into `<run>/checkpoints`.
  ///
  /// - Parameters:
  ///   - run: the run's directory; it must exist when something is saved.
  ///   - runID: the run's identity, the same over its restarts: letters, digits, `-` and `_`.
  ///   - retention: which checkpoints to keep.
  /// - Throws: `.invalid` on a run identity that cannot be.
  public convenience init(
    run: String, runID: String, retention: Retention
  ) throws(CheckpointError) {
    try self.init(run: run, runID: runID, retention: retention, encoding: .byteGroups)
  }

  /// The same with a choice of how values are written.
  package init(
    run: String, runID: String, retention: Retention, encoding: ShardEncoding
  ) throws(CheckpointError) {
    let isPlain = runID.utf8.allSatisfy { byte in
      let character = Unicode.Scalar(byte)
      return byte < 0x80
        && (character.properties.isAlphabetic || (0x30...0x39).contains(byte)
          || character == "-" || character == "_")
    }
    guard isPlain, (1...64).contains(runID.utf8.count) else {
      throw .invalid(
        path: run, field: "run id", reason: "\"\(runID)\" is not 1 to 64 letters, digits, - or _")
    }
    directory = CheckpointDirectory(run: run)
    self.runID = runID
    self.retention = retention
    self.encoding = encoding
    compressor = try translatingErrors(path: run) { () throws(CompressionError) in
      try FrameCompressor(level: Self.compressionLevel)
    }
  }

  /// Saves a checkpoint together with the other processes; returns when it is durable.
  ///
  /// Every process calls this with the same step, layout and store names. Either all return or all
  /// throw; a process that dies leaves the others to what `coordination` makes of it. Nothing that was
  /// saved before is touched until the new checkpoint is durable under its final name.
  ///
  /// - Parameters:
  ///   - contents: what to save.
  ///   - coordination: the way to the other processes.
  /// - Returns: what was done.
  /// - Throws: `.notSaved` with the failures of all ranks, among them impossible contents, or
  ///   `.coordination`.
  @discardableResult
  public func save(
    _ contents: CheckpointContents, coordination: some ShardCoordination = SingleProcess()
  ) throws(CheckpointError) -> SaveReport {
    try begin(contents, coordination: coordination, inBackground: false).finish()
  }

  /// Begins to save a checkpoint together with the other processes.
  ///
  /// Every process calls this, and later `finish`, with the same step, layout and store names. The values
  /// are those of now: whoever changes them calls `PendingSave.detach` before. One save at a time.
  ///
  /// - Parameters:
  ///   - contents: what to save.
  ///   - coordination: the way to the other processes.
  ///   - inBackground: whether to write on a thread of its own; otherwise, or when the system gives no
  ///     thread, `finish` writes.
  /// - Returns: the save under way.
  /// - Throws: as `save`.
  public func begin(
    _ contents: CheckpointContents, coordination: some ShardCoordination, inBackground: Bool
  ) throws(CheckpointError) -> PendingSave {
    let agreement = RankAgreement(coordination, step: contents.step)
    let transaction = SaveTransaction(self, contents, shardCount: coordination.shardCount)
    do throws(CheckpointError) {
      let fingerprints = try agreement.share { shard throws(CheckpointError) in
        try check(contents, shard: shard, of: coordination.shardCount)
        if shard == 0 { try transaction.prepare() }
        return .string(transaction.fingerprint)
      }
      guard fingerprints.allSatisfy({ $0 == fingerprints[0] }) else {
        throw .coordination(
          "they save different things: \(Set(fingerprints.compactMap(\.string)).sorted())")
      }
    } catch {
      if coordination.localShards.contains(0), case .notSaved = error { transaction.abandon() }
      throw error
    }
    return PendingSave(
      transaction, agreement, shards: coordination.localShards, inBackground: inBackground)
  }

  private func check(
    _ contents: CheckpointContents, shard: Int, of shardCount: Int
  ) throws(CheckpointError) {
    func failure(_ field: String, _ reason: String) -> CheckpointError {
      .invalid(path: directory.path, field: field, reason: reason)
    }
    guard contents.step >= 0 else { throw failure("step", "\(contents.step) is negative") }
    guard Set(contents.stores.map(\.name)).count == contents.stores.count else {
      throw failure("stores", "two have the same name")
    }
    if let slot = contents.layout.slots.first(where: { !CheckpointStore.isTensorName($0.name) }) {
      throw failure("layout", "\"\(slot.name)\" is not a name without bracket")
    }
    for store in contents.stores {
      let record = store.record(contents.layout)
      guard CheckpointStore.isName(store.name) else {
        throw failure("stores", "\"\(store.name)\" is not a name without slash")
      }
      guard CheckpointStore.dataTypes.contains(record.dataType),
        record.isAligned(to: contents.layout)
      else {
        throw failure(
          "store \(store.name)",
          "\(record.covered) x \(record.dataType.rawValue) cannot be stored")
      }
      let needed = record.ranges(of: shard, shards: shardCount, grain: contents.grain)
      if let lacking = needed.first(where: { store.part(holding: $0) == nil }) {
        throw failure(
          "store \(store.name)",
          "holds elements \(store.parts.map { "\($0.range)" }.joined(separator: ", ")), "
            + "shard \(shard) needs \(lacking)")
      }
    }
  }
}
