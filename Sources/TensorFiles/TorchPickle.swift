import ErrorReporting

/// Writes the pickle (protocol 2) of a state dictionary whose tensors are whole storages.
public enum TorchPickle {
  /// A tensor of the dictionary.
  public struct Tensor: Sendable {
    let name: String
    let dataType: TensorDataType
    let shape: [Int]
    let storage: String

    /// Describes a tensor.
    ///
    /// - Parameters:
    ///   - name: its key.
    ///   - dataType: its elements' type.
    ///   - shape: row-major.
    ///   - storage: the entry below `data/` that holds its bytes; tensors may share one.
    /// - Precondition: PyTorch has a storage class for `dataType`.
    public init(name: String, dataType: TensorDataType, shape: [Int], storage: String) {
      require(dataType.torchStorage != nil, "\(dataType.rawValue) is not written")
      self.name = name
      self.dataType = dataType
      self.shape = shape
      self.storage = storage
    }
  }

  /// The bytes of `data.pkl`.
  public static func encoded(_ tensors: [Tensor]) -> [UInt8] {
    var output: [UInt8] = [0x80, 2, UInt8(ascii: "}")]
    for tensor in tensors {
      append(tensor.name, to: &output)
      append(tensor, to: &output)
      output.append(UInt8(ascii: "s"))
    }
    output.append(UInt8(ascii: "."))
    return output
  }

  /// `_rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, backward_hooks={})`.
  private static func append(_ tensor: Tensor, to output: inout [UInt8]) {
    output += "ctorch._utils\n_rebuild_tensor_v2\n((".utf8
    append("storage", to: &output)
    output += "ctorch\n\(tensor.dataType.torchStorage ?? "")\n".utf8
    append(tensor.storage, to: &output)
    append("cpu", to: &output)
    append(tensor.shape.reduce(1, *), to: &output)
    output += "tQ".utf8
    append(0, to: &output)
    var strides = tensor.shape
    var stride = 1
    for axis in tensor.shape.indices.reversed() {
      strides[axis] = stride
      stride *= tensor.shape[axis]
    }
    for numbers in [tensor.shape, strides] {
      output.append(UInt8(ascii: "("))
      for number in numbers { append(number, to: &output) }
      output.append(UInt8(ascii: "t"))
    }
    output.append(0x89)
    output += "ccollections\nOrderedDict\n)RtR".utf8
  }

  private static func append(_ text: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "X"))
    output += withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian) { Array($0) }
    output += text.utf8
  }

  private static func append(_ number: Int, to output: inout [UInt8]) {
    if let small = Int32(exactly: number) {
      output.append(UInt8(ascii: "J"))
      output += withUnsafeBytes(of: small.littleEndian) { Array($0) }
    } else {
      output += [0x8A, 8] + withUnsafeBytes(of: Int64(number).littleEndian) { Array($0) }
    }
  }
}

extension TensorDataType {
  /// PyTorch's class of storages of this type, in the module `torch`; nil where it has none.
  var torchStorage: String? {
    switch self {
    case .bool: "BoolStorage"
    case .uint8: "ByteStorage"
    case .int8: "CharStorage"
    case .int16: "ShortStorage"
    case .int32: "IntStorage"
    case .int64: "LongStorage"
    case .float16: "HalfStorage"
    case .bfloat16: "BFloat16Storage"
    case .float32: "FloatStorage"
    case .float64: "DoubleStorage"
    default: nil
    }
  }
}
