import ErrorReporting
import Files
import JSON

extension SafetensorsHeader {
  /// Bytes before the data section, from the first bytes of a file.
  ///
  /// - Parameters:
  ///   - prefix: the file's first bytes, at least 8 unless the file is shorter.
  ///   - fileByteCount: the file's size.
  ///   - source: the file's path, for errors.
  /// - Returns: 8 + N.
  /// - Throws: `.invalid` when the length is beyond the file or the format's limit.
  public static func byteCount(
    prefix: UnsafeRawBufferPointer, fileByteCount: Int, source: String
  ) throws(FileError) -> Int {
    guard fileByteCount >= 8, prefix.count >= 8 else {
      throw .invalid(
        path: source, field: "header length",
        reason: "the file has \(fileByteCount) bytes, too few for a safetensors file")
    }
    let length = UInt64(littleEndian: prefix.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(maximumJSONByteCount), Int(length) <= fileByteCount - 8 else {
      throw .invalid(
        path: source, field: "header length",
        reason: "\(length) bytes do not fit in a file of \(fileByteCount);"
          + " the file is truncated or not a safetensors file")
    }
    return 8 + Int(length)
  }

  /// Parses the header at the start of a file and checks every rule of the format.
  ///
  /// - Parameters:
  ///   - prefix: the file's first bytes, the whole header at least.
  ///   - fileByteCount: the file's size.
  ///   - source: the file's path, for errors.
  /// - Throws: `.invalid`, naming the tensor, for: a length out of bounds; text that is not strict
  ///   JSON; duplicate, missing or unknown fields; a shape that does not match its bytes; data that
  ///   overlaps, leaves holes, or does not end with the file.
  public init(
    parsing prefix: UnsafeRawBufferPointer, fileByteCount: Int, source: String
  ) throws(FileError) {
    let byteCount = try Self.byteCount(
      prefix: prefix, fileByteCount: fileByteCount, source: source)
    guard prefix.count >= byteCount else {
      throw .invalid(path: source, field: "header", reason: "the header is cut")
    }
    var cursor = JSONCursor(
      UnsafeRawBufferPointer(rebasing: prefix[8..<byteCount]), source: source)
    guard byteCount > 8, prefix[8] == UInt8(ascii: "{") else {
      throw cursor.failure("a safetensors header starts with '{'")
    }
    var tensors: [SafetensorsTensor] = []
    var metadata: [String: String] = [:]
    try cursor.object { (cursor, key) throws(FileError) in
      if key == "__metadata__" {
        metadata = try cursor.stringMap()
      } else {
        guard tensors.count < Self.maximumTensorCount else {
          throw cursor.failure("more than \(Self.maximumTensorCount) tensors")
        }
        tensors.append(try cursor.tensor(name: key))
      }
    }
    try cursor.expectEnd()
    tensors.sort { a, b in
      (a.byteRange.lowerBound, a.byteRange.upperBound)
        < (b.byteRange.lowerBound, b.byteRange.upperBound)
    }
    try Self.checkCoverage(tensors, of: fileByteCount - byteCount, source: source)
    self.init(tensors: tensors, metadata: metadata, byteCount: byteCount)
  }

  /// Parses the header of a mapped file.
  ///
  /// - Throws: as `init(parsing:fileByteCount:source:)`, and for a Git LFS pointer.
  public init(_ file: MappedFile) throws(FileError) {
    try file.requireFetched()
    try self.init(parsing: file.bytes, fileByteCount: file.byteCount, source: file.path)
  }

  /// Tensors in data order must cover the data section without overlap or hole.
  private static func checkCoverage(
    _ tensors: [SafetensorsTensor], of dataByteCount: Int, source: String
  ) throws(FileError) {
    var end = 0
    for tensor in tensors {
      let start = tensor.byteRange.lowerBound
      guard start == end else {
        throw .invalid(
          path: source, field: "tensor \(abbreviated(tensor.name))",
          reason: start < end
            ? "its data overlaps another tensor's at byte \(start)"
            : "bytes \(end)..<\(start) before it belong to no tensor")
      }
      end = tensor.byteRange.upperBound
    }
    guard end == dataByteCount else {
      throw .invalid(
        path: source, field: "data section",
        reason: "the tensors take \(end) bytes, the file has \(dataByteCount):"
          + (dataByteCount < end ? " it is truncated" : " it has bytes of no tensor"))
    }
  }
}

extension JSONCursor {
  /// Reads an object whose values are strings.
  fileprivate mutating func stringMap() throws(FileError) -> [String: String] {
    var map: [String: String] = [:]
    try object { (cursor, key) throws(FileError) in map[key] = try cursor.string() }
    return map
  }

  /// Reads the description of one tensor.
  fileprivate mutating func tensor(name: String) throws(FileError) -> SafetensorsTensor {
    var dataType: TensorDataType?
    var shape: [Int]?
    var offsets: [Int]?
    let field = "tensor \(abbreviated(name))"
    let source = source
    try object { (cursor, key) throws(FileError) in
      switch key {
      case "dtype":
        let text = try cursor.string()
        dataType = TensorDataType(rawValue: text)
        guard dataType != nil else {
          throw .invalid(
            path: source, field: field, reason: "unknown dtype \"\(abbreviated(text))\"")
        }
      case "shape": shape = try cursor.integers(atMost: 64)
      case "data_offsets": offsets = try cursor.integers(atMost: 2)
      default: throw cursor.failure("unknown field \"\(abbreviated(key))\" of \(field)")
      }
    }
    guard let dataType, let shape, let offsets, offsets.count == 2, offsets[0] <= offsets[1] else {
      throw .invalid(
        path: source, field: field, reason: "needs dtype, shape and data_offsets [begin, end]")
    }
    guard shape.checkedProduct(dataType.byteCount) == offsets[1] - offsets[0] else {
      throw .invalid(
        path: source, field: field,
        reason: "shape \(shape) of \(dataType.rawValue) does not take the"
          + " \(offsets[1] - offsets[0]) bytes of its data_offsets")
    }
    return SafetensorsTensor(
      name: name, dataType: dataType, shape: shape, byteRange: offsets[0]..<offsets[1])
  }

  private mutating func integers(atMost limit: Int) throws(FileError) -> [Int] {
    var values: [Int] = []
    try array { (cursor) throws(FileError) in
      guard values.count < limit else { throw cursor.failure("more than \(limit) numbers") }
      values.append(try cursor.unsignedInteger())
    }
    return values
  }
}
