import ErrorReporting
import JSON

/// One tensor as a safetensors header describes it.
public struct SafetensorsTensor: Sendable, Equatable {
  /// The tensor's name.
  public let name: String

  /// The type of its elements.
  public let dataType: TensorDataType

  /// Row-major shape; empty for a scalar.
  public let shape: [Int]

  /// Where its bytes lie, counted from the start of the data section.
  public let byteRange: Range<Int>

  /// Number of elements.
  public var count: Int { byteRange.count / dataType.byteCount }
}

/// The header of a safetensors file: which tensors it holds, and where.
///
/// A file is `u64 N` (little-endian), `N` bytes of JSON padded with spaces, then the data without
/// any gaps. See `huggingface/safetensors`, `safetensors/src/tensor.rs`, whose rules these are.
public struct SafetensorsHeader: Sendable, Equatable {
  /// The format's own limit on `N`.
  public static let maximumJSONByteCount = 100_000_000

  /// The largest number of tensors that is read: ten times that of any model known.
  public static let maximumTensorCount = 250_000

  /// The tensors in the order of their data.
  public let tensors: [SafetensorsTensor]

  /// The free-form `__metadata__`.
  public let metadata: [String: String]

  /// Bytes before the data section: 8 + N.
  public let byteCount: Int

  /// Bytes of the data section.
  public var dataByteCount: Int { tensors.last?.byteRange.upperBound ?? 0 }

  /// Bytes of the whole file.
  public var fileByteCount: Int { byteCount + dataByteCount }

  private let indices: [String: Int]

  init(tensors: [SafetensorsTensor], metadata: [String: String], byteCount: Int) {
    self.tensors = tensors
    self.metadata = metadata
    self.byteCount = byteCount
    indices = Dictionary(
      tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The tensor of that name, or nil.
  public subscript(name: String) -> SafetensorsTensor? {
    indices[name].map { tensors[$0] }
  }

  /// Where the tensor's bytes lie in the file.
  public func fileRange(of tensor: SafetensorsTensor) -> Range<Int> {
    (byteCount + tensor.byteRange.lowerBound)..<(byteCount + tensor.byteRange.upperBound)
  }
}

// MARK: - Writing

extension SafetensorsHeader {
  /// A tensor to be written.
  public struct Entry: Sendable, Equatable {
    /// The tensor's name.
    public let name: String

    /// The type of its elements.
    public let dataType: TensorDataType

    /// Row-major shape.
    public let shape: [Int]

    /// Describes a tensor to be written.
    public init(name: String, dataType: TensorDataType, shape: [Int]) {
      self.name = name
      self.dataType = dataType
      self.shape = shape
    }
  }

  /// In which order the tensors' data is laid out.
  public enum Order: Sendable {
    /// As the format's own writer does: widest element type first, then by name.
    case canonical
    /// As given.
    case asGiven
  }

  /// Lays out a new file.
  ///
  /// - Parameters:
  ///   - entries: the tensors.
  ///   - metadata: the free-form strings; loaders of PyTorch models look for `"format": "pt"`.
  ///   - order: the order of the data.
  /// - Precondition: names are unique and not `__metadata__`.
  public init(laidOut entries: [Entry], metadata: [String: String], order: Order = .canonical) {
    var sorted = entries
    if order == .canonical {
      sorted.sort { a, b in
        let (first, second) = (a.dataType.rank, b.dataType.rank)
        if first != second { return first > second }
        return a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
      }
    }
    var offset = 0
    var names: Set<String> = ["__metadata__"]
    let tensors = sorted.map { entry in
      require(names.insert(entry.name).inserted, "tensor \(entry.name) is declared twice")
      let end = offset + entry.shape.reduce(entry.dataType.byteCount, *)
      defer { offset = end }
      return SafetensorsTensor(
        name: entry.name, dataType: entry.dataType, shape: entry.shape, byteRange: offset..<end)
    }
    let json = Self.json(tensors: tensors, metadata: metadata)
    self.init(tensors: tensors, metadata: metadata, byteCount: 8 + json.count)
  }

  /// The first `byteCount` bytes of the file.
  public func encoded() -> [UInt8] {
    let json = Self.json(tensors: tensors, metadata: metadata)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }

  /// The JSON text, padded with spaces to a multiple of 8 bytes.
  private static func json(tensors: [SafetensorsTensor], metadata: [String: String]) -> [UInt8] {
    var output = Array("{".utf8)
    if !metadata.isEmpty {
      output += "\"__metadata__\":{".utf8
      for (i, key) in metadata.keys.sorted().enumerated() {
        if i > 0 { output += ",".utf8 }
        appendJSONString(key, to: &output)
        output += ":".utf8
        appendJSONString(metadata[key] ?? "", to: &output)
      }
      output += "}".utf8
    }
    for tensor in tensors {
      if output.count > 1 { output += ",".utf8 }
      appendJSONString(tensor.name, to: &output)
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let range = tensor.byteRange
      output += ":{\"dtype\":\"\(tensor.dataType.rawValue)\",\"shape\":[\(shape)],".utf8
      output += "\"data_offsets\":[\(range.lowerBound),\(range.upperBound)]}".utf8
    }
    output += "}".utf8
    return output + [UInt8](repeating: 0x20, count: (8 - output.count % 8) % 8)
  }
}
