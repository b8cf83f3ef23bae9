import Fields
import Foundation

/// A checkpoint on its way to the disk.
///
/// `CheckpointWriter.begin` makes it; every process has its own. It is written by a thread of its own while
/// training goes on, and becomes a checkpoint in `finish`.
public final class PendingSave {
  /// The training step after which the values were taken.
  public let step: Int

  private let transaction: SaveTransaction
  private let agreement: RankAgreement
  private let leads: Bool
  private let work: ShardWork
  private let thread: SavingThread?

  init(
    _ transaction: SaveTransaction, _ agreement: RankAgreement, shards: Range<Int>,
    inBackground: Bool
  ) {
    step = agreement.step
    self.transaction = transaction
    self.agreement = agreement
    leads = shards.contains(0)
    work = ShardWork(transaction, shards: shards)
    thread = inBackground ? SavingThread.start(work.run) : nil
  }

  /// Whether `finish` has no more writing of shards to wait for, in this process.
  public var isWritten: Bool { thread?.isDone ?? true }

  /// Returns when the values that are saved may change.
  ///
  /// - Parameter limit: bytes that may be copied for that; what does not fit is waited for.
  public func detach(copyingAtMost limit: Int) {
    for snapshot in work.snapshots { snapshot.detach(copyingAtMost: limit) }
  }

  /// Waits for this process's shards, and makes those of all processes a checkpoint; collective.
  ///
  /// - Returns: what was done.
  /// - Throws: `.notSaved` with the failures of all ranks, or `.coordination`.
  public func finish() throws(CheckpointError) -> SaveReport {
    if let thread { thread.wait() } else { work.run() }
    do throws(CheckpointError) {
      let answers = try agreement.share { shard throws(CheckpointError) in
        try work.record(shard).json
      }
      let records = try answers.map { answer throws(CheckpointError) in
        let value = FieldValue(json: answer, place: .source(transaction.partial))
        return try CheckpointError.reading { () throws(FieldError) in
          try FieldReader(value, keys: nil).shard()
        }
      }
      try agreement.share { shard throws(CheckpointError) in
        if shard == 0 { try transaction.commit(records) }
        return .null
      }
      var report = SaveReport(
        path: transaction.final, byteCount: records.reduce(0) { $0 + $1.byteCount })
      if leads { transaction.cleanUp(&report) }
      return report
    } catch {
      // All ranks are past their writing here, unless they cannot be reached: then the next save
      // removes what is left.
      if leads, case .notSaved = error { transaction.abandon() }
      throw error
    }
  }

  /// Gives the save up and removes what was written of it; collective, in place of `finish`.
  ///
  /// - Throws: `.coordination`.
  public func abandon() throws(CheckpointError) {
    thread?.wait()
    // Nobody writes any more once all have answered.
    try agreement.share { _ throws(CheckpointError) in .null }
    if leads { transaction.abandon() }
  }
}

/// The shards that a process writes of one checkpoint.
private final class ShardWork: @unchecked Sendable {
  /// The first of them, and their values; read by any thread.
  let first: Int
  let snapshots: [ShardSnapshot]

  private let transaction: SaveTransaction
  /// For whoever has waited for `run`.
  private var results: [Result<ShardRecord, CheckpointError>] = []

  init(_ transaction: SaveTransaction, shards: Range<Int>) {
    self.transaction = transaction
    first = shards.lowerBound
    snapshots = shards.map { transaction.snapshot($0) }
  }

  /// Writes them, one after the other.
  func run() {
    for (index, snapshot) in snapshots.enumerated() {
      do throws(CheckpointError) {
        results.append(.success(try transaction.writeShard(first + index, snapshot)))
      } catch {
        results.append(.failure(error))
      }
      snapshot.close()
    }
  }

  /// What was written.
  func record(_ shard: Int) throws(CheckpointError) -> ShardRecord {
    try results[shard - first].get()
  }
}
