import Compression
import ErrorReporting
import Files
import TensorFiles
import TensorStorage

/// An opened checkpoint: its manifest is checked, its shards are checked as they are touched.
///
/// Not thread safe. Several readers of one checkpoint may work at the same time, one a rank or one a
/// thread, whatever the number of shards is.
public final class CheckpointReader {
  /// The checkpoint's directory.
  public let path: String

  /// What the checkpoint says about itself.
  public let manifest: CheckpointManifest

  /// Asked before each shard is read or verified; once it says true, `.interrupted` is thrown.
  public var isInterrupted: (() -> Bool)?

  private var shards: [Int: ShardReader] = [:]
  let cache: FrameCache

  /// Opens a checkpoint and checks its manifest.
  ///
  /// - Parameters:
  ///   - path: the directory, for example `runs/demo/checkpoints/step-00001000`.
  ///   - runID: the run it must belong to; nil for any.
  /// - Throws: `.file` when there is no readable manifest, `.invalid` when it is damaged, names another
  ///   run, or another step than the directory's name.
  public init(path: String, runID: String? = nil) throws(CheckpointError) {
    let manifestPath = path + "/" + CheckpointManifest.fileName
    let file = try CheckpointError.from(try MappedFile(path: manifestPath))
    let manifest = try CheckpointManifest(parsing: file.bytes, path: manifestPath)
    if let runID, manifest.runID != runID {
      throw .invalid(
        path: manifestPath, field: "run_id", reason: "is \(manifest.runID), this run is \(runID)")
    }
    let directory = path.split(separator: "/").last.map(String.init) ?? ""
    switch CheckpointName(directory) {
    case .committed(let step), .replaced(let step), .partial(let step, _), .damaged(let step),
      .aside(let step, _), .deleting(let step):
      guard step == manifest.step else {
        throw .invalid(
          path: manifestPath, field: "step", reason: "is \(manifest.step), not the directory's")
      }
    case nil: break
    }
    self.path = path
    self.manifest = manifest
    cache = try FrameCache(path: path)
  }

  /// Requires that the checkpoint's tensors are those of `layout`.
  ///
  /// - Throws: `.invalid`, naming the first tensor that differs.
  public func require(_ layout: ParameterLayout) throws(CheckpointError) {
    let ours = layout.slots
    let theirs = manifest.layout.slots
    guard ours != theirs else { return }
    let index = zip(ours, theirs).enumerated().first { $1.0 != $1.1 }?.offset
    let i = index ?? min(ours.count, theirs.count)
    func text(_ slots: [ParameterSlot]) -> String {
      i < slots.count ? "\(slots[i].name) \(slots[i].shape)" : "no more tensors"
    }
    throw .invalid(
      path: path, field: "tensor \(i)",
      reason: "the checkpoint has \(text(theirs)), the model \(text(ours))")
  }

  /// Reads values of one store.
  ///
  /// Every shard that is touched is hashed first, once a reader, so that no damaged value is ever
  /// returned. Elements between tensors are set to zero.
  ///
  /// - Parameters:
  ///   - store: the name of the values and the buffer to put them in.
  ///   - range: which elements of the arena; all that the store holds if nil.
  /// - Throws: `.damaged` when a shard is not what the manifest says, `.file` when it cannot be read,
  ///   `.invalid` when the checkpoint
  ///   has no such store, or one of other values.
  /// - Precondition: one part of the store holds the range.
  public func read(
    into store: CheckpointStore, range: Range<Int>? = nil
  ) throws(CheckpointError) {
    let index = try index(of: store)
    for range in range.map({ [$0] }) ?? store.parts.map(\.range) {
      let record = manifest.stores[index]
      ErrorReporting.require(
        store.part(holding: range) != nil && range.clamped(to: record.covered) == range,
        "elements \(range) are not held, or not stored")
      for shard in manifest.shards.indices
      where record.ranges(of: shard, shards: manifest.shards.count, grain: manifest.grain)
        .contains(where: { $0.overlaps(range) })
      {
        try copy(self.shard(shard), store: index, range, into: store)
      }
      clearPadding(store, range)
    }
  }

  /// Which of the checkpoint's stores is meant.
  private func index(of store: CheckpointStore) throws(CheckpointError) -> Int {
    guard let index = manifest.stores.firstIndex(where: { $0.name == store.name }) else {
      let names = manifest.stores.map(\.name).joined(separator: ", ")
      throw .invalid(
        path: path, field: "stores", reason: "there is no \(store.name), only \(names)")
    }
    let stored = manifest.stores[index]
    let wanted = store.record(manifest.layout)
    guard wanted == stored else {
      throw .invalid(
        path: path, field: "stores",
        reason: "\(store.name) is \(stored.covered.count) x \(stored.dataType.rawValue),"
          + " not \(wanted.covered.count) x \(wanted.dataType.rawValue)")
    }
    return index
  }

  /// Throws `.interrupted` when somebody asked for that.
  func goOn() throws(CheckpointError) {
    if isInterrupted?() == true { throw .interrupted(path: path) }
  }

  /// A shard, verified.
  private func shard(_ index: Int) throws(CheckpointError) -> ShardReader {
    try goOn()
    if let shard = shards[index] { return shard }
    let shard: ShardReader
    do throws(CheckpointError) {
      shard = try ShardReader(manifest, index: index, directory: path)
    } catch  where error.isDamage {
      throw .damaged(path: path, problems: [problem(error, shard: index)])
    }
    if let problem = shard.problem(checkingContents: false, cache) {
      throw .damaged(path: path, problems: [problem])
    }
    shards[index] = shard
    return shard
  }

  func problem(_ error: CheckpointError, shard index: Int) -> CheckpointProblem {
    let shardPath = path + "/" + manifest.shards[index].file
    if case .file(let fileError) = error, fileError.saysAbsent {
      return CheckpointProblem(
        path: shardPath,
        reason: "shard \(index) of \(manifest.shards.count) of step \(manifest.step) is missing")
    }
    return CheckpointProblem(path: shardPath, reason: error.description)
  }

  /// Copies the elements `range` of one shard.
  private func copy(
    _ shard: ShardReader, store: Int, _ range: Range<Int>, into target: CheckpointStore
  ) throws(CheckpointError) {
    let width = target.dataType.byteCount
    for piece in try shard.openFrames().pieces
    where piece.store == store && piece.range.overlaps(range) {
      let elements = piece.range.clamped(to: range)
      let first = elements.lowerBound - piece.range.lowerBound
      let output = target.bytes(of: elements)
      switch shard.identity.encoding {
      case .plain:
        let start = piece.byteRange.lowerBound + first * width
        try shard.read(start..<(start + output.count), into: output, cache)
      case .byteGroups:
        let groups = UnsafeMutableRawBufferPointer(
          rebasing: cache.groups[..<piece.byteRange.count])
        try shard.read(piece.byteRange, into: groups, cache)
        ByteGroups.ungroup(
          UnsafeRawBufferPointer(groups), width: width, from: first, into: output)
      }
    }
  }

  private func clearPadding(_ store: CheckpointStore, _ range: Range<Int>) {
    var end = 0
    for next in manifest.layout.slots.map(\.range) + [manifest.layout.count..<Int.max] {
      let padding = (end..<next.lowerBound).clamped(to: range)
      if !padding.isEmpty {
        store.bytes(of: padding).initializeMemory(as: UInt8.self, repeating: 0)
      }
      end = next.upperBound
    }
  }
}
