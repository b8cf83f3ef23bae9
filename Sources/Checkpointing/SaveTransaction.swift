import Files
import JSON
import TensorFiles

/// The steps of one save, in the order in which `CheckpointWriter.save` takes them.
///
/// At every instant between two file-system calls the directory holds everything that was committed
/// before: what is under way has names that no reader takes for a checkpoint.
final class SaveTransaction {
  /// Where the checkpoint is being written.
  let partial: String

  /// Where it will be.
  let final: String

  private let writer: CheckpointWriter
  private let contents: CheckpointContents
  private let shardCount: Int
  private var isPrepared = false
  private var isCommitted = false

  private var directory: CheckpointDirectory { writer.directory }

  init(_ writer: CheckpointWriter, _ contents: CheckpointContents, shardCount: Int) {
    self.writer = writer
    self.contents = contents
    self.shardCount = shardCount
    partial = writer.directory.path(.partial(step: contents.step, runID: writer.runID))
    final = writer.directory.path(.committed(step: contents.step))
  }

  /// Names what is saved; the same on all ranks if they save the same thing.
  var fingerprint: String {
    let stores = contents.stores.map { store in
      let record = store.record(contents.layout)
      return "\(record.name):\(record.dataType.rawValue):\(record.covered)"
    }.joined(separator: ",")
    return "\(writer.runID)/\(contents.step)/\(contents.layout.count)/\(shardCount)/\(stores)"
  }

  private func plan(_ shard: Int) -> (ShardIdentity, ShardPlan) {
    let identity = ShardIdentity(
      runID: writer.runID, step: contents.step, index: shard, count: shardCount,
      encoding: writer.encoding)
    let stores = contents.stores.map { $0.record(contents.layout) }
    let plan = ShardPlan(
      identity: identity, layout: contents.layout, stores: stores, grain: contents.grain)
    return (identity, plan)
  }

  // MARK: Rank 0

  /// Removes what interrupted saves left behind and makes an empty directory to write into.
  func prepare() throws(CheckpointError) {
    let isNew = try CheckpointError.from { () throws(FileError) in
      if try FileSystem.createDirectory(directory.path) {
        try FileSystem.synchronize(directory: directory.run)
      }
      try removeLeftovers()
      return try FileSystem.createDirectory(partial)
    }
    guard isNew else {
      throw .invalid(
        path: partial, field: "directory", reason: "another process is saving this step")
    }
    isPrepared = true
  }

  /// Cleans up after interrupted saves of this run; partial saves of other runs are not ours.
  private func removeLeftovers() throws(FileError) {
    for name in try directory.names() {
      switch name {
      case .partial(_, writer.runID), .deleting:
        try FileSystem.remove(directory.path(name))
      case .replaced(let step):
        let current = directory.path(.committed(step: step))
        if try FileSystem.exists(current) {
          try FileSystem.remove(directory.path(name))
        } else {
          try FileSystem.rename(directory.path(name), to: current)
        }
      case .committed, .damaged, .aside, .partial: break
      }
    }
  }

  /// Makes the written shards a checkpoint.
  ///
  /// Order: manifest, its sync, the directory's and its parent's sync, the rename, the parent's sync.
  func commit(_ records: [ShardRecord]) throws(CheckpointError) {
    for record in records {
      let path = partial + "/" + record.file
      guard try CheckpointError.from(try FileSystem.byteCount(path)) == record.byteCount else {
        throw .invalid(
          path: path, field: "size",
          reason: "rank 0 does not see the \(record.byteCount) bytes that rank \(record.index)"
            + " wrote: is the run directory on a file system that all nodes share?")
      }
    }
    let manifest = CheckpointManifest(
      runID: writer.runID, step: contents.step,
      stores: contents.stores.map { $0.record(contents.layout) }, grain: contents.grain,
      layout: contents.layout, shards: records, creation: contents.creation,
      training: contents.training
    ).encoded()
    try CheckpointError.from { () throws(FileError) in try publish(manifest) }
  }

  /// Writes the manifest and gives the new checkpoint its final name.
  private func publish(_ manifest: [UInt8]) throws(FileError) {
    try OutputFile.write(manifest, creating: partial + "/" + CheckpointManifest.fileName)
    try FileSystem.synchronize(directory: partial)
    try FileSystem.synchronize(directory: directory.path)
    _ = try FileSystem.replace(
      directory: final, with: partial,
      movingPreviousTo: directory.path(.replaced(step: contents.step)))
    isCommitted = true
    try FileSystem.synchronize(directory: directory.path)
  }

  /// After a failure that all ranks know of: removes what was written, unless it was published.
  func abandon() {
    guard isPrepared, !isCommitted else { return }
    try? FileSystem.remove(partial)
  }

  /// After the commit: removes the checkpoint that was replaced, and those beyond the retention.
  func cleanUp(_ report: inout SaveReport) {
    do {
      for old in [partial, directory.path(.replaced(step: contents.step))]
      where try FileSystem.exists(old) {
        try directory.retire(old, step: contents.step)
      }
      let others = try directory.committed().filter { $0.step != contents.step }
      for checkpoint in others.dropFirst(writer.retention.newest - 1).reversed()
      where !writer.retention.keepsForGood(checkpoint.step) {
        try directory.retire(checkpoint.path, step: checkpoint.step)
        report.prunedSteps.append(checkpoint.step)
      }
    } catch {
      report.warnings.append("\(error)")
    }
  }

  // MARK: Every rank

  /// The values of one shard, as they are now.
  func snapshot(_ shard: Int) -> ShardSnapshot {
    ShardSnapshot(plan(shard).1, stores: contents.stores)
  }

  /// Writes one shard and makes it durable.
  func writeShard(_ shard: Int, _ values: ShardSnapshot) throws(CheckpointError) -> ShardRecord {
    let (identity, plan) = plan(shard)
    return try ShardWriter.write(
      plan, identity: identity, stores: contents.stores, values: values,
      to: partial + "/" + identity.fileName,
      compressor: writer.compressor)
  }
}
