import Files
import JSON

/// The directory of a zip archive whose entries are stored as they are, as PyTorch writes them.
///
/// Archives and entries beyond 4 GiB (zip64) are understood. Refused are compressed and encrypted
/// entries, entries of the same name, and entries that overlap each other or the directory. Checksums
/// are not verified: PyTorch may leave them out.
struct ZipArchive {
  /// Where each entry's bytes lie in the file, by name.
  let entries: [String: Range<Int>]

  /// More entries than any checkpoint has.
  private static let maximumEntryCount = 1_000_000
  /// Stands in a field of 32 bits whose value is in a zip64 field.
  private static let isWide = 0xFFFF_FFFF

  /// How many entries there are, and where their list lies.
  private struct Directory {
    let count: Int
    let range: Range<Int>
  }

  private struct Entry {
    let name: String
    let data: Range<Int>
    /// Where its header begins.
    let start: Int
    /// Where the next entry of the directory begins.
    let next: Int
  }

  /// Reads the directory at the end of a file.
  ///
  /// - Throws: `.invalid` when it is no such archive.
  init(_ file: MappedFile) throws(FileError) {
    let reader = ByteReader(file)
    let directory = try Self.directory(reader)
    var entries: [String: Range<Int>] = [:]
    var extents: [Range<Int>] = []
    var offset = directory.range.lowerBound
    for _ in 0..<directory.count {
      let entry = try Self.entry(reader, at: offset, directory)
      guard entries.updateValue(entry.data, forKey: entry.name) == nil else {
        throw reader.failure("it has two entries '\(abbreviated(entry.name))'")
      }
      extents.append(entry.start..<entry.data.upperBound)
      offset = entry.next
    }
    guard offset == directory.range.upperBound else {
      throw reader.failure("its zip directory does not end where it says")
    }
    extents.sort { $0.lowerBound < $1.lowerBound }
    for (first, second) in zip(extents, extents.dropFirst())
    where first.upperBound > second.lowerBound {
      throw reader.failure("two of its entries overlap at byte \(second.lowerBound)")
    }
    self.entries = entries
  }

  private static func directory(_ reader: ByteReader) throws(FileError) -> Directory {
    let record = try endRecord(reader)
    var count = try reader.u16(record + 10)
    var size = try reader.u32(record + 12)
    var start = try reader.u32(record + 16)
    if count == 0xFFFF || size == isWide || start == isWide {
      guard try reader.u32(record - 20) == 0x0706_4B50 else {
        throw reader.failure("its zip64 directory is not there")
      }
      let wide = try reader.u64(record - 12)
      guard try reader.u32(wide) == 0x0606_4B50 else {
        throw reader.failure("its zip64 directory is not there")
      }
      count = try reader.u64(wide + 32)
      size = try reader.u64(wide + 40)
      start = try reader.u64(wide + 48)
    }
    guard count <= maximumEntryCount else {
      throw reader.failure("\(count) entries are too many")
    }
    guard start + size <= record else {
      throw reader.failure("its zip directory lies outside the file")
    }
    return Directory(count: count, range: start..<(start + size))
  }

  /// Where the record at the end of the file begins, which only a comment may follow.
  private static func endRecord(_ reader: ByteReader) throws(FileError) -> Int {
    let last = reader.count - 22
    var offset = last
    while offset >= max(0, last - 0xFFFF) {
      if try reader.u32(offset) == 0x0605_4B50, try reader.u16(offset + 20) == last - offset {
        return offset
      }
      offset -= 1
    }
    // How a pickle of the number begins with which older files start.
    if reader.count >= 4, try reader.u32(0) == 0x0A8A_0280 {
      throw reader.failure(
        "this is the format of PyTorch before 1.6; load it in Python and save it with torch.save")
    }
    throw reader.failure(
      "it has no zip directory: it is truncated or not what torch.save writes")
  }

  /// One entry of the directory, checked against the header before its data.
  private static func entry(
    _ reader: ByteReader, at offset: Int, _ directory: Directory
  ) throws(FileError) -> Entry {
    guard try reader.u32(offset) == 0x0201_4B50 else {
      throw reader.failure("its zip directory is damaged at byte \(offset)")
    }
    let nameEnd = offset + 46 + (try reader.u16(offset + 28))
    let extraEnd = nameEnd + (try reader.u16(offset + 30))
    let nameBytes = try reader.bytes((offset + 46)..<nameEnd)
    let name = String(decoding: nameBytes, as: UTF8.self)
    func failure(_ problem: String) -> FileError {
      reader.failure("the entry '\(abbreviated(name))' \(problem)")
    }
    // Sizes and places that need more than 32 bits stand in a field of their own, in this order.
    var wide = try wideField(reader, in: nameEnd..<extraEnd)
    func widened(_ value: Int) throws(FileError) -> Int {
      guard value == isWide else { return value }
      guard wide.count >= 8 else { throw failure("lacks its zip64 sizes") }
      defer { wide = wide.dropFirst(8) }
      return try reader.u64(wide.lowerBound)
    }
    let size = try widened(try reader.u32(offset + 24))
    let storedSize = try widened(try reader.u32(offset + 20))
    let header = try widened(try reader.u32(offset + 42))
    // Bits 0, 6 and 13 of the flags: encryption.
    guard try reader.u16(offset + 10) == 0, try reader.u16(offset + 8) & 0x2041 == 0,
      storedSize == size
    else { throw failure("is compressed or encrypted") }

    let nameStart = header + 30
    guard try reader.u32(header) == 0x0403_4B50, try reader.u16(header + 8) == 0,
      try reader.u16(header + 26) == nameBytes.count,
      try reader.bytes(nameStart..<(nameStart + nameBytes.count)).elementsEqual(nameBytes)
    else { throw failure("is not where the directory says") }
    let start = nameStart + nameBytes.count + (try reader.u16(header + 28))
    guard start + size <= directory.range.lowerBound else {
      throw failure("ends outside the file's data")
    }
    return Entry(
      name: name, data: start..<(start + size), start: header,
      next: extraEnd + (try reader.u16(offset + 32)))
  }

  /// The contents of the zip64 field among the extra fields of an entry; empty when there is none.
  private static func wideField(
    _ reader: ByteReader, in extra: Range<Int>
  ) throws(FileError) -> Range<Int> {
    var start = extra.lowerBound
    while start + 4 <= extra.upperBound {
      let end = start + 4 + (try reader.u16(start + 2))
      if try reader.u16(start) == 1, end <= extra.upperBound { return (start + 4)..<end }
      start = end
    }
    return extra.upperBound..<extra.upperBound
  }
}
