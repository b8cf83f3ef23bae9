/// Lays out a zip archive of stored entries, front to back; the caller writes the bytes.
///
/// Data starts at multiples of 64 bytes, as PyTorch has it. Entries and archives beyond 4 GiB use
/// zip64. The same contents give the same bytes.
public struct ZipWriter {
  private struct Entry {
    let name: [UInt8]
    let byteCount, offset: Int
    let checksum: UInt32
  }

  /// The first size or place that does not fit in 32 bits.
  private static let limit = 0xFFFF_FFFF
  /// 1980-01-01 00:00, the format's first moment.
  private static let time: [UInt8] = [0, 0, 0x21, 0]
  /// The version of the format that has zip64.
  private static let version: [UInt8] = [45, 0]
  private static let alignment = 64

  private var entries: [Entry] = []
  private var offset = 0

  /// An archive without entries.
  public init() {}

  /// The bytes before an entry's data, which must follow.
  ///
  /// - Parameters:
  ///   - name: of the entry.
  ///   - byteCount: bytes of its data.
  ///   - checksum: CRC-32 of its data.
  /// - Returns: the entry's header.
  public mutating func header(name: String, byteCount: Int, checksum: UInt32) -> [UInt8] {
    let entry = Entry(
      name: Array(name.utf8), byteCount: byteCount, offset: offset, checksum: checksum)
    entries.append(entry)
    var extra =
      byteCount < Self.limit
      ? [] : Self.field(1, Self.bytes(UInt64(byteCount)) + Self.bytes(UInt64(byteCount)))
    let start = offset + 30 + entry.name.count + extra.count + 4
    let padding = (Self.alignment - start % Self.alignment) % Self.alignment
    // The identifier that PyTorch's own padding has.
    extra += Self.field(0x4246, Array(repeating: 0, count: padding))
    let size = Self.narrow(byteCount)
    let header =
      Self.bytes(UInt32(0x0403_4B50)) + Self.version + [0, 0, 0, 0] + Self.time
      + Self.bytes(checksum) + size + size + Self.bytes(UInt16(entry.name.count))
      + Self.bytes(UInt16(extra.count)) + entry.name + extra
    offset += header.count + byteCount
    return header
  }

  /// The bytes after the last entry's data.
  public func directory() -> [UInt8] {
    var list = entries.flatMap(Self.listed)
    let (size, count) = (list.count, entries.count)
    let isWide = offset >= Self.limit || size >= Self.limit || count >= 0xFFFF
    if isWide {
      list += Self.bytes(UInt32(0x0606_4B50)) + Self.bytes(UInt64(44)) + Self.version + Self.version
      list += Self.bytes(UInt64(0)) + Self.bytes(UInt64(count)) + Self.bytes(UInt64(count))
      list += Self.bytes(UInt64(size)) + Self.bytes(UInt64(offset))
      list += Self.bytes(UInt32(0x0706_4B50)) + Self.bytes(UInt32(0))
      list += Self.bytes(UInt64(offset + size)) + Self.bytes(UInt32(1))
    }
    let short = Self.bytes(UInt16(min(count, 0xFFFF)))
    list += Self.bytes(UInt32(0x0605_4B50)) + [0, 0, 0, 0] + short + short
    return list + Self.narrow(size) + Self.narrow(offset) + [0, 0]
  }

  /// One entry of the directory.
  private static func listed(_ entry: Entry) -> [UInt8] {
    var wide: [UInt8] = []
    if entry.byteCount >= limit {
      wide += bytes(UInt64(entry.byteCount)) + bytes(UInt64(entry.byteCount))
    }
    if entry.offset >= limit { wide += bytes(UInt64(entry.offset)) }
    let extra = wide.isEmpty ? [] : field(1, wide)
    var list = bytes(UInt32(0x0201_4B50)) + version + version + [0, 0, 0, 0] + time
    list += bytes(entry.checksum) + narrow(entry.byteCount) + narrow(entry.byteCount)
    list += bytes(UInt16(entry.name.count)) + bytes(UInt16(extra.count))
    // No comment, first disk, no attributes.
    list += Array(repeating: 0, count: 10)
    return list + narrow(entry.offset) + entry.name + extra
  }

  private static func field(_ identifier: UInt16, _ contents: [UInt8]) -> [UInt8] {
    bytes(identifier) + bytes(UInt16(contents.count)) + contents
  }

  /// Four bytes, all ones for what does not fit.
  private static func narrow(_ value: Int) -> [UInt8] { bytes(UInt32(min(value, limit))) }

  private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
