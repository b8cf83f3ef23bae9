import Files
import JSON

/// Reads the pickle of a state dictionary as data: nothing that it names is called.
///
/// A pickle is a program for a stack machine. This one has the instructions that `torch.save` of a state
/// dictionary writes (protocol 2), and knows the few names that stand for dictionaries, tensors and their
/// storages. Every other instruction or name is an error, before anything is made of it. Memory is
/// bounded by the pickle's size, which is limited.
struct PickleReader {
  /// Bytes of the largest pickle that is read: some 60,000 tensors.
  static let maximumByteCount = 16 << 20

  /// What stands on the stack.
  enum Value {
    case none
    case bool(Bool)
    case integer(Int)
    case text(String)
    case tuple([Value], depth: Int)
    case dictionary(Entries)
    case name(Name)
    case storage(Storage)
    case tensor(Tensor)
    case mark
  }

  /// What a pickle may name.
  enum Name {
    case orderedDictionary
    case rebuildTensor
    case rebuildParameter
    case storage(TensorDataType)

    init?(_ text: String) {
      switch text {
      case "collections.OrderedDict": self = .orderedDictionary
      case "torch._utils._rebuild_tensor_v2": self = .rebuildTensor
      case "torch._utils._rebuild_parameter": self = .rebuildParameter
      default:
        let type = TensorDataType.allCases.first { type in
          type.torchStorage.map { "torch." + $0 == text } ?? false
        }
        guard let type else { return nil }
        self = .storage(type)
      }
    }
  }

  /// A dictionary, which is filled after it has been put on the stack.
  ///
  /// Values other than tensors are not kept, so dictionaries do not hold each other.
  final class Entries {
    var items: [(key: String, tensor: Tensor?)] = []
  }

  /// Memory that tensors are parts of: an entry of the archive.
  struct Storage {
    let type: TensorDataType
    let key: String
    /// Elements.
    let count: Int
  }

  /// A part of a storage.
  struct Tensor {
    let storage: Storage
    let offset: Int
    let shape, strides: [Int]
  }

  /// Tuples in tuples; real ones have two levels.
  private static let maximumDepth = 8
  /// Dimensions of a tensor, PyTorch's own limit.
  private static let maximumRank = 64
  /// Values on the stack; a dictionary is filled in parts of 1,000 entries.
  private static let maximumStackCount = 1 << 16

  let bytes: UnsafeRawBufferPointer
  let source: String
  var position = 0
  private var stack: [Value] = []
  private var memo: [Int: Value] = [:]

  private init(_ bytes: UnsafeRawBufferPointer, source: String) {
    self.bytes = bytes
    self.source = source
  }

  /// The tensors of a state dictionary, by name, in its order.
  ///
  /// - Parameters:
  ///   - bytes: the pickle.
  ///   - source: the file's path, for errors.
  /// - Returns: the names with their tensors.
  /// - Throws: `.invalid` for anything else than a dictionary of tensors.
  static func tensors(
    _ bytes: UnsafeRawBufferPointer, source: String
  ) throws(FileError) -> [(name: String, tensor: Tensor)] {
    var reader = PickleReader(bytes, source: source)
    guard bytes.count <= maximumByteCount else {
      throw reader.failure("its \(bytes.count) bytes are too many for a dictionary of tensors")
    }
    guard case .dictionary(let entries) = try reader.run() else {
      throw reader.failure("it holds no dictionary of tensors")
    }
    var names: Set<String> = []
    var tensors: [(name: String, tensor: Tensor)] = []
    for (name, tensor) in entries.items {
      guard let tensor else {
        throw reader.failure(
          "'\(abbreviated(name))' is not a tensor; save the model's state dictionary alone")
      }
      guard names.insert(name).inserted else {
        throw reader.failure("it has two tensors '\(abbreviated(name))'")
      }
      tensors.append((name, tensor))
    }
    return tensors
  }

  func failure(_ reason: String) -> FileError {
    .invalid(path: source, field: "pickle", reason: reason)
  }

  private var isDamaged: FileError { failure("it is damaged at byte \(position)") }

  private mutating func run() throws(FileError) -> Value {
    while true {
      let code = try byte()
      if code == UInt8(ascii: ".") {
        guard position == bytes.count, stack.count == 1 else { throw isDamaged }
        return stack[0]
      }
      try execute(code)
      guard stack.count <= Self.maximumStackCount else {
        throw failure("it has more than \(Self.maximumStackCount) values at a time")
      }
    }
  }
}

// MARK: - Instructions

extension PickleReader {
  private mutating func execute(_ code: UInt8) throws(FileError) {
    switch code {
    case 0x80: try checkProtocol(try byte())
    case UInt8(ascii: "("): stack.append(.mark)
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88, 0x89: stack.append(.bool(code == 0x88))
    case UInt8(ascii: "K"): stack.append(.integer(Int(try byte())))
    case UInt8(ascii: "M"): stack.append(.integer(Int(try number(UInt16.self))))
    case UInt8(ascii: "J"): stack.append(.integer(Int(try number(Int32.self))))
    case 0x8A: stack.append(.integer(try longInteger()))
    case UInt8(ascii: "X"): stack.append(.text(try text(Int(try number(UInt32.self)))))
    case UInt8(ascii: "c"): stack.append(.name(try name()))
    case UInt8(ascii: "q"): memo[Int(try byte())] = try top()
    case UInt8(ascii: "r"): memo[Int(try number(UInt32.self))] = try top()
    case UInt8(ascii: "h"): try recall(Int(try byte()))
    case UInt8(ascii: "j"): try recall(Int(try number(UInt32.self)))
    case UInt8(ascii: ")"): try pushTuple([])
    case UInt8(ascii: "t"): try pushTuple(try popToMark())
    case 0x85, 0x86, 0x87: try pushTuple(try pop(Int(code) - 0x84))
    case UInt8(ascii: "}"): stack.append(.dictionary(Entries()))
    case UInt8(ascii: "s"), UInt8(ascii: "u"):
      // The values leave the stack before the dictionary below them is looked for.
      let values = code == UInt8(ascii: "s") ? try pop(2) : try popToMark()
      try fill(values)
    case UInt8(ascii: "Q"): stack.append(.storage(try storage(try pop())))
    case UInt8(ascii: "R"):
      let arguments = try pop()
      stack.append(try object(try pop(), arguments))
    case UInt8(ascii: "b"):
      // The attributes of a dictionary: the versions of the modules.
      _ = try pop()
      guard case .dictionary = try top() else { throw isDamaged }
    default:
      throw failure("it has an instruction (\(code)) that a dictionary of tensors does not need")
    }
  }

  private func checkProtocol(_ version: UInt8) throws(FileError) {
    guard version == 2 else {
      throw failure("it is of protocol \(version); save it with torch.save's own, 2")
    }
  }

  private mutating func name() throws(FileError) -> Name {
    let text = try line() + "." + (try line())
    guard let name = Name(text) else {
      throw failure(
        "it names '\(abbreviated(text))'; only dictionaries of tensors are read, and nothing is run"
      )
    }
    return name
  }

  /// What a call would have returned: a dictionary or a tensor.
  private func object(_ name: Value, _ arguments: Value) throws(FileError) -> Value {
    guard case .name(let name) = name, case .tuple(let values, _) = arguments else {
      throw isDamaged
    }
    switch name {
    case .orderedDictionary where values.isEmpty: return .dictionary(Entries())
    case .rebuildTensor where values.count >= 6:
      guard case .storage(let storage) = values[0], case .integer(let offset) = values[1],
        offset >= 0, let shape = sizes(values[2]), let strides = sizes(values[3]),
        shape.count == strides.count
      else { throw isDamaged }
      return .tensor(Tensor(storage: storage, offset: offset, shape: shape, strides: strides))
    case .rebuildParameter where values.count == 3:
      guard case .tensor = values[0] else { throw isDamaged }
      return values[0]
    default: throw isDamaged
    }
  }

  /// `("storage", class, key, device, elements)`.
  private func storage(_ identity: Value) throws(FileError) -> Storage {
    guard case .tuple(let values, _) = identity, values.count == 5,
      case .text("storage") = values[0], case .name(.storage(let type)) = values[1],
      case .text(let key) = values[2], case .text = values[3],
      case .integer(let count) = values[4], count >= 0
    else { throw isDamaged }
    return Storage(type: type, key: key, count: count)
  }

  private func sizes(_ value: Value) -> [Int]? {
    guard case .tuple(let values, _) = value, values.count <= Self.maximumRank else { return nil }
    let sizes = values.compactMap { value -> Int? in
      if case .integer(let size) = value, size >= 0 { size } else { nil }
    }
    return sizes.count == values.count ? sizes : nil
  }

  /// Adds keys and values in turn to the dictionary on top of the stack.
  private func fill(_ values: [Value]) throws(FileError) {
    guard case .dictionary(let entries) = try top(), values.count.isMultiple(of: 2) else {
      throw isDamaged
    }
    for index in stride(from: 0, to: values.count, by: 2) {
      guard case .text(let key) = values[index] else {
        throw failure("a key of a dictionary is not a text")
      }
      if case .tensor(let tensor) = values[index + 1] {
        entries.items.append((key, tensor))
      } else {
        entries.items.append((key, nil))
      }
    }
  }
}

// MARK: - The stack

extension PickleReader {
  private func top() throws(FileError) -> Value {
    guard let value = stack.last else { throw isDamaged }
    return value
  }

  private mutating func pop() throws(FileError) -> Value {
    guard let value = stack.popLast() else { throw isDamaged }
    return value
  }

  private mutating func pop(_ count: Int) throws(FileError) -> [Value] {
    guard stack.count >= count else { throw isDamaged }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark() throws(FileError) -> [Value] {
    var values: [Value] = []
    while true {
      let value = try pop()
      if case .mark = value { return values.reversed() }
      values.append(value)
    }
  }

  private mutating func pushTuple(_ values: [Value]) throws(FileError) {
    let depths = values.map { value in
      if case .tuple(_, let depth) = value { depth } else { 0 }
    }
    let depth = 1 + (depths.max() ?? 0)
    guard depth <= Self.maximumDepth else { throw failure("its tuples are nested too deeply") }
    stack.append(.tuple(values, depth: depth))
  }

  private mutating func recall(_ index: Int) throws(FileError) {
    guard let value = memo[index] else { throw isDamaged }
    stack.append(value)
  }
}
