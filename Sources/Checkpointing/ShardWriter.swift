import Compression
import ErrorReporting
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

  /// How the values are written.
  let encoding: ShardEncoding
}

/// Writes one shard: hashes, compresses and hashes again while the bytes pass by.
struct ShardWriter: ~Copyable {
  private let compressor: FrameCompressor
  private let file: OutputFile
  private let encoding: ShardEncoding
  private let block: UnsafeMutableRawBufferPointer
  private let groups: UnsafeMutableRawBufferPointer
  private var rawHash = XXH64()
  private var hash = XXH64()

  /// Writes the values that `plan` names to `path` and makes them durable.
  ///
  /// - Returns: sizes and hashes of what was written.
  /// - Throws: `.file` naming the path.
  static func write(
    _ plan: ShardPlan, identity: ShardIdentity, stores: [CheckpointStore], values: ShardSnapshot,
    to path: String,
    compressor: FrameCompressor
  ) throws(CheckpointError) -> ShardRecord {
    let file = try CheckpointError.from(
      try OutputFile(creating: path, expectedByteCount: plan.header.fileByteCount))
    var writer = ShardWriter(
      compressor: compressor, file: file, encoding: identity.encoding)
    try withBytes(of: plan.header.encoded()) { bytes throws(CheckpointError) in
      try writer.append(bytes)
    }
    for piece in plan.pieces {
      try writer.append(piece, of: values, width: stores[piece.store].dataType.byteCount)
    }
    try writer.finish()
    return ShardRecord(
      index: identity.index, file: identity.fileName, byteCount: file.byteCount,
      hash: writer.hash.digest(), rawByteCount: plan.header.fileByteCount,
      rawHash: writer.rawHash.digest(), encoding: identity.encoding)
  }

  private init(compressor: FrameCompressor, file: OutputFile, encoding: ShardEncoding) {
    self.compressor = compressor
    self.file = file
    self.encoding = encoding
    block = .allocate(byteCount: FrameCompressor.chunkByteCount, alignment: 64)
    groups = .allocate(byteCount: encoding == .plain ? 0 : block.count, alignment: 64)
  }

  deinit {
    block.deallocate()
    groups.deallocate()
  }

  private mutating func append(
    _ piece: ShardPlan.Piece, of values: ShardSnapshot, width: Int
  ) throws(CheckpointError) {
    var offset = 0
    while offset < piece.byteRange.count {
      let count = min(block.count, piece.byteRange.count - offset)
      let bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<count])
      values.read(piece, at: offset, into: bytes)
      switch encoding {
      case .plain: try append(UnsafeRawBufferPointer(bytes))
      case .byteGroups:
        require(count == piece.byteRange.count, "a piece is longer than a block")
        let output = UnsafeMutableRawBufferPointer(rebasing: groups[..<count])
        ByteGroups.group(UnsafeRawBufferPointer(bytes), width: width, into: output)
        try append(UnsafeRawBufferPointer(output))
      }
      offset += count
    }
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
