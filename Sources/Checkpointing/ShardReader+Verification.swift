import Compression
import Files
import TensorFiles

extension ShardReader {
  private var name: String {
    "shard \(identity.index) of step \(identity.step) of run \(identity.runID)"
  }

  /// What is wrong with the file; nil if it is what the manifest says.
  ///
  /// - Parameters:
  ///   - checkingContents: whether to decompress and hash all of it as well. The hash of the file
  ///     already covers the contents as they were written.
  ///   - cache: decompresses.
  /// - Returns: the problem, as specific as it can be told.
  func problem(checkingContents: Bool, _ cache: FrameCache) -> CheckpointProblem? {
    cache.forget()
    return reason(checkingContents: checkingContents, cache).map {
      CheckpointProblem(path: file.path, reason: $0)
    }
  }

  private func reason(checkingContents: Bool, _ cache: FrameCache) -> String? {
    if file.byteCount != record.byteCount {
      return "\(name) has \(file.byteCount) bytes, the manifest says \(record.byteCount)"
        + (impostor(cache) ?? (file.byteCount < record.byteCount ? ": it is truncated" : ""))
    }
    if XXH64.hash(file.bytes) != record.hash {
      return "\(name) does not have the hash \(XXH64.hexadecimal(record.hash)) of the manifest"
        + (impostor(cache) ?? damageLocation(cache))
    }
    do throws(CheckpointError) {
      let plan = try openFrames()
      guard try header(cache) == plan.header else {
        return "\(name) has another header than the manifest asks for" + (impostor(cache) ?? "")
      }
      var frame: CompressedFrame?
      if checkingContents, try rawHash(cache, workingOn: &frame) != record.rawHash {
        return "the contents of \(name) do not have the hash of the manifest"
      }
    } catch {
      return "\(name): \(error.description)"
    }
    return nil
  }

  /// The header that the file has, whatever the manifest asks for.
  private func header(_ cache: FrameCache) throws(CheckpointError) -> SafetensorsHeader {
    let bytes = file.bytes
    let frames = try translatingErrors(path: file.path) { () throws(CompressionError) in
      try FrameDecompressor.frames(in: bytes, contentByteCount: nil)
    }
    let contentByteCount = frames.last?.contentRange.upperBound ?? 0
    var head: [UInt8] = []
    var wanted = 8
    for frame in frames where frame.contentRange.lowerBound < wanted {
      head += try cache.contents(of: frame, in: bytes, shard: record.index)
      guard head.count >= 8 else { continue }
      wanted = try withBytes(of: Array(head.prefix(8))) { prefix throws(CheckpointError) in
        try CheckpointError.from(
          try SafetensorsHeader.byteCount(
            prefix: prefix, fileByteCount: contentByteCount, source: file.path))
      }
    }
    return try withBytes(of: head) { head throws(CheckpointError) in
      try CheckpointError.from(
        try SafetensorsHeader(parsing: head, fileByteCount: contentByteCount, source: file.path))
    }
  }

  /// If the file is a readable shard of something else: a clause that says of what.
  private func impostor(_ cache: FrameCache) -> String? {
    guard let metadata = try? header(cache).metadata, metadata != identity.metadata,
      let run = metadata["run_id"], let step = metadata["step"], let shard = metadata["shard"],
      let shards = metadata["shards"]
    else { return nil }
    return ": it is shard \(shard) of \(shards) of step \(step) of run \(run)"
  }

  /// A clause that names the tensors in the first frame that cannot be decompressed.
  private func damageLocation(_ cache: FrameCache) -> String {
    let plan: ShardPlan
    do throws(CheckpointError) {
      plan = try openFrames()
    } catch {
      return ": \(error.description)"
    }
    var damaged: CompressedFrame?
    guard (try? rawHash(cache, workingOn: &damaged)) == nil, let range = damaged?.contentRange
    else { return "" }
    var places = range.lowerBound < plan.header.byteCount ? ["the header"] : []
    places += zip(plan.pieces, plan.header.tensors)
      .filter { $0.0.byteRange.overlaps(range) }.map(\.1.name)
    return ": damaged is one of " + places.prefix(3).joined(separator: ", ")
      + (places.count > 3 ? " and \(places.count - 3) more" : "")
  }

  /// The hash of the decompressed file; `frame` tells how far it came.
  private func rawHash(
    _ cache: FrameCache, workingOn frame: inout CompressedFrame?
  ) throws(CheckpointError) -> UInt64 {
    var hash = XXH64()
    for next in frames {
      frame = next
      hash.update(try cache.contents(of: next, in: file.bytes, shard: record.index))
    }
    return hash.digest()
  }
}
