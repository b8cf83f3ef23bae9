import Compression
import Files
import TensorFiles

/// One shard of a checkpoint, mapped, and what the manifest demands of it.
final class ShardReader {
  let file: MappedFile
  let record: ShardRecord
  let identity: ShardIdentity
  private let manifest: CheckpointManifest

  /// What the file must hold; nil if no file can hold what the manifest says, and before its size is known to
  /// be what the manifest says, for a manifest may claim anything.
  private(set) lazy var plan = ShardPlan(
    identity: identity, layout: manifest.layout, stores: manifest.stores, grain: manifest.grain,
    fitting: record.rawByteCount)

  /// Empty until the shard has been verified.
  private(set) var frames: [CompressedFrame] = []

  /// Maps the shard; nothing is checked but that it is there.
  init(_ manifest: CheckpointManifest, index: Int, directory: String) throws(CheckpointError) {
    let record = manifest.shards[index]
    self.record = record
    self.manifest = manifest
    identity = ShardIdentity(
      runID: manifest.runID, step: manifest.step, index: index, count: manifest.shards.count,
      encoding: record.encoding)
    file = try CheckpointError.from(try MappedFile(path: directory + "/" + record.file))
    file.adviseSequential()
  }

  /// Finds the frames and checks that they hold as much as the tensors take.
  ///
  /// - Returns: what the file must hold.
  @discardableResult
  func openFrames() throws(CheckpointError) -> ShardPlan {
    guard let plan, record.rawByteCount == plan.header.fileByteCount else {
      let taken = plan.map { "\($0.header.fileByteCount)" } ?? "more"
      throw .invalid(
        path: file.path, field: "raw_bytes",
        reason: "is \(record.rawByteCount), the tensors take \(taken)")
    }
    guard frames.isEmpty else { return plan }
    let (bytes, count) = (file.bytes, record.rawByteCount)
    frames = try translatingErrors(path: file.path) { () throws(CompressionError) in
      try FrameDecompressor.frames(in: bytes, contentByteCount: count)
    }
    return plan
  }

  /// Copies bytes of the uncompressed shard.
  ///
  /// - Parameters:
  ///   - range: which bytes.
  ///   - output: where to, `range.count` bytes.
  ///   - cache: decompresses, and keeps the frame at which one range ends and the next begins.
  /// - Throws: `.invalid` when a frame is damaged.
  /// - Precondition: the frames are open.
  func read(
    _ range: Range<Int>, into output: UnsafeMutableRawBufferPointer, _ cache: FrameCache
  ) throws(CheckpointError) {
    var index = firstFrame(at: range.lowerBound)
    while index < frames.count, frames[index].contentRange.lowerBound < range.upperBound {
      let content = frames[index].contentRange
      let part = content.clamped(to: range)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: output[part.shifted(by: -range.lowerBound)])
      if part == content {
        try cache.decompress(frames[index], of: file.bytes, into: target)
      } else {
        let whole = try cache.contents(of: frames[index], in: file.bytes, shard: record.index)
        target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: whole[part.shifted(by: -content.lowerBound)]))
      }
      index += 1
    }
  }

  /// The frame that holds a byte of the contents.
  private func firstFrame(at byte: Int) -> Int {
    var low = 0
    var high = frames.count
    while low < high {
      let middle = (low + high) / 2
      if frames[middle].contentRange.upperBound <= byte { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension Range<Int> {
  func shifted(by distance: Int) -> Range<Int> {
    (lowerBound + distance)..<(upperBound + distance)
  }
}
