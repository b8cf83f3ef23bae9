import Compression

/// One decompressor and the contents of the frame it worked on last, shared by a reader's shards.
final class FrameCache {
  private let path: String
  private let decompressor: FrameDecompressor
  private let memory: UnsafeMutableRawBufferPointer
  /// Memory for one piece of grouped bytes, for whoever reads it now.
  let groups: UnsafeMutableRawBufferPointer
  private var held: (shard: Int, frame: CompressedFrame)?

  /// Allocates memory for one frame; `path` is for errors.
  init(path: String) throws(CheckpointError) {
    self.path = path
    decompressor = try translatingErrors(path: path) { () throws(CompressionError) in
      try FrameDecompressor()
    }
    memory = .allocate(byteCount: FrameCompressor.chunkByteCount, alignment: 64)
    groups = .allocate(byteCount: FrameCompressor.chunkByteCount, alignment: 64)
  }

  deinit {
    memory.deallocate()
    groups.deallocate()
  }

  /// Forgets the frame held, because its file may have changed.
  func forget() {
    held = nil
  }

  /// Decompresses a frame of `file` straight into `output`.
  func decompress(
    _ frame: CompressedFrame, of file: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) throws(CheckpointError) {
    let decompressor = decompressor
    let bytes = UnsafeRawBufferPointer(rebasing: file[frame.compressedRange])
    try translatingErrors(path: path) { () throws(CompressionError) in
      try decompressor.decompress(bytes, into: output)
    }
  }

  /// The contents of a frame, valid until the next call.
  ///
  /// - Parameters:
  ///   - frame: a frame of at most `FrameCompressor.chunkByteCount`.
  ///   - file: the shard's bytes.
  ///   - shard: the shard's index, so that a frame is recognised when it is wanted again.
  /// - Returns: the decompressed bytes.
  /// - Throws: `.invalid` when the frame is damaged.
  func contents(
    of frame: CompressedFrame, in file: UnsafeRawBufferPointer, shard: Int
  ) throws(CheckpointError) -> UnsafeRawBufferPointer {
    let output = UnsafeMutableRawBufferPointer(rebasing: memory[..<frame.contentRange.count])
    if held?.shard != shard || held?.frame != frame {
      held = nil
      try decompress(frame, of: file, into: output)
      held = (shard, frame)
    }
    return UnsafeRawBufferPointer(output)
  }
}
