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
  private var fileSystem: FileSystem { writer.fileSystem }

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
      runID: writer.runID, step: contents.step, index: shard, count: shardCount)
    let stores = contents.stores.map { $0.record(contents.layout) }
    let plan = ShardPlan(
      identity: identity, layout: contents.layout, stores: stores, grain: contents.grain)
    return (identity, plan)
  }

  // MARK: Rank 0

  /// Removes what interrupted saves left behind and makes an empty directory to write into.
  func prepare() throws(CheckpointError) {
    if try fileSystem.createDirectory(directory.path) {
      try fileSystem.syncDirectory(directory.run)
    }
    try removeLeftovers()
    guard try fileSystem.createDirectory(partial) else {
      throw .invalid(
        path: partial, field: "directory", reason: "another process is saving this step")
    }
    isPrepared = true
  }

  /// Cleans up after interrupted saves of this run; partial saves of other runs are not ours.
  private func removeLeftovers() throws(CheckpointError) {
    for name in try directory.names(fileSystem) {
      switch name {
      case .partial(_, writer.runID), .deleting:
        try fileSystem.removeTree(directory.path(name))
      case .replaced(let step):
        let current = directory.path(.committed(step: step))
        if try fileSystem.byteCount(current) == nil {
          try fileSystem.rename(directory.path(name), to: current)
        } else {
          try fileSystem.removeTree(directory.path(name))
        }
      case .committed, .partial: break
      }
    }
  }

  /// Makes the written shards a checkpoint.
  ///
  /// Order: manifest, its sync, the directory's and its parent's sync, the rename, the parent's sync.
  func commit(_ records: [ShardRecord]) throws(CheckpointError) {
    for record in records {
      let path = partial + "/" + record.file
      guard try fileSystem.byteCount(path) == record.byteCount else {
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
    let file = try OutputFile(
      partial + "/" + CheckpointManifest.fileName, expectedByteCount: manifest.count, fileSystem)
    try withBytes(of: manifest) { bytes throws(CheckpointError) in try file.write(bytes) }
    try file.commit()
    try fileSystem.syncDirectory(partial)
    try fileSystem.syncDirectory(directory.path)
    try publish()
    isCommitted = true
    try fileSystem.syncDirectory(directory.path)
  }

  /// Gives the new checkpoint its final name.
  private func publish() throws(CheckpointError) {
    if try fileSystem.byteCount(final) == nil {
      try fileSystem.rename(partial, to: final)
    } else if try !fileSystem.exchange(partial, final) {
      let replaced = directory.path(.replaced(step: contents.step))
      try fileSystem.rename(final, to: replaced)
      do throws(CheckpointError) {
        try fileSystem.rename(partial, to: final)
      } catch {
        try? fileSystem.rename(replaced, to: final)
        throw error
      }
    }
  }

  /// After a failure that all ranks know of: removes what was written, unless it was published.
  func abandon() {
    guard isPrepared, !isCommitted else { return }
    try? fileSystem.removeTree(partial)
  }

  /// After the commit: removes the checkpoint that was replaced, and those beyond the retention.
  func cleanUp(_ report: inout SaveReport) {
    do {
      for old in [partial, directory.path(.replaced(step: contents.step))]
      where try fileSystem.byteCount(old) != nil {
        try retire(old, step: contents.step)
      }
      let others = try directory.committed(fileSystem).filter { $0.step != contents.step }
      for checkpoint in others.dropFirst(writer.keep - 1).reversed() {
        try retire(checkpoint.path, step: checkpoint.step)
        report.prunedSteps.append(checkpoint.step)
      }
    } catch {
      report.warnings.append("\(error)")
    }
  }

  /// Takes a checkpoint's name away, then its files: it never looks whole while it is not.
  private func retire(_ path: String, step: Int) throws(CheckpointError) {
    let doomed = directory.path(.deleting(step: step))
    try fileSystem.removeTree(doomed)
    try fileSystem.rename(path, to: doomed)
    try fileSystem.removeTree(doomed)
  }

  // MARK: Every rank

  /// Writes one shard and makes it durable.
  func writeShard(_ shard: Int) throws(CheckpointError) -> ShardRecord {
    let (identity, plan) = plan(shard)
    return try ShardWriter.write(
      plan, identity: identity, stores: contents.stores, to: partial + "/" + identity.fileName,
      compressor: writer.compressor, fileSystem)
  }
}
