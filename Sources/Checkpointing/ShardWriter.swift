import Compression
import Files

/// What the manifest says about one shard.
public struct ShardRecord: Sendable, Equatable {
  /// The shard's index, which is the rank that wrote it.
  public let index: Int

  /// The file's name inside the checkpoint.
  public let file: String

  /// Bytes of the file.
  public let byteCount: Int

  /// XXH64 of the file.
  public let hash: UInt64

  /// Bytes of the decompressed file.
  public let rawByteCount: Int

  /// XXH64 of the decompressed file.
  public let rawHash: UInt64
}

/// Writes one shard: hashes, compresses and hashes again while the bytes pass by.
struct ShardWriter: ~Copyable {
  private let compressor: FrameCompressor
  private let file: OutputFile
  private var rawHash = XXH64()
  private var hash = XXH64()

  /// Writes the values that `plan` names to `path` and makes them durable.
  ///
  /// - Returns: sizes and hashes of what was written.
  /// - Throws: `.file` naming the path.
  static func write(
    _ plan: ShardPlan, identity: ShardIdentity, values: ShardSnapshot, to path: String,
    compressor: FrameCompressor
  ) throws(CheckpointError) -> ShardRecord {
    let file = try CheckpointError.from(
      try OutputFile(creating: path, expectedByteCount: plan.header.fileByteCount))
    var writer = ShardWriter(compressor: compressor, file: file)
    try withBytes(of: plan.header.encoded()) { bytes throws(CheckpointError) in
      try writer.append(bytes)
    }
    let block = UnsafeMutableRawBufferPointer.allocate(
      byteCount: FrameCompressor.chunkByteCount, alignment: 64)
    defer { block.deallocate() }
    for piece in plan.pieces {
      var offset = 0
      while offset < piece.byteRange.count {
        let count = min(block.count, piece.byteRange.count - offset)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
        values.read(piece, at: offset, into: bytes)
        try writer.append(UnsafeRawBufferPointer(bytes))
        offset += count
      }
    }
    try writer.finish()
    return ShardRecord(
      index: identity.index, file: identity.fileName, byteCount: file.byteCount,
      hash: writer.hash.digest(), rawByteCount: plan.header.fileByteCount,
      rawHash: writer.rawHash.digest())
  }

  private init(compressor: FrameCompressor, file: OutputFile) {
    self.compressor = compressor
    self.file = file
  }

  private mutating func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    rawHash.update(bytes)
    var rest = bytes
    while let frame = try next(&rest) { try emit(frame) }
  }

  private func next(
    _ rest: inout UnsafeRawBufferPointer
  ) throws(CheckpointError) -> UnsafeRawBufferPointer? {
    do {
      return try compressor.next(&rest)
    } catch {
      throw CheckpointError(error, path: file.path)
    }
  }

  private mutating func finish() throws(CheckpointError) {
    let compressor = compressor
    let last = try translatingErrors(path: file.path) { () throws(CompressionError) in
      try compressor.finish()
    }
    if let last { try emit(last) }
    try CheckpointError.from(try file.commit())
  }

  private mutating func emit(_ frame: UnsafeRawBufferPointer) throws(CheckpointError) {
    hash.update(frame)
    try CheckpointError.from(try file.write(frame))
  }
}
