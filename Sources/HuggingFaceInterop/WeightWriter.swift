import TensorFiles
import TensorStorage

/// Writes an arena as one safetensors file, or as shards with an index.
struct WeightWriter {
  private let parameters: ParameterArena
  private let dtype: ExportPrecision
  private let shards: [[ParameterSlot]]

  /// Deals the tensors to shards of at most `maxShardBytes` in the order of `slots`; a tensor that is
  /// larger gets a shard of its own.
  init(
    _ parameters: ParameterArena, _ slots: [ParameterSlot], dtype: ExportPrecision,
    maxShardBytes: Int
  ) {
    self.parameters = parameters
    self.dtype = dtype
    var shards: [[ParameterSlot]] = [[]]
    var filled = 0
    for slot in slots {
      let size = slot.count * dtype.dataType.byteCount
      if filled > 0, filled + size > maxShardBytes {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(slot)
      filled += size
    }
    self.shards = shards
  }

  /// Creates the files in a directory that has none of them.
  func write(to directory: String) throws(InteropError) {
    guard shards.count > 1 else {
      return try write(shards[0], to: directory + "/" + ModelFileNames.weights)
    }
    var files: [(tensor: String, file: String)] = []
    for (index, slots) in shards.enumerated() {
      let name = ModelFileNames.shard(index + 1, of: shards.count)
      try write(slots, to: directory + "/" + name)
      files += slots.map { ($0.name, name) }
    }
    try ExportFile.write(
      index(of: files).encoded() + Array("\n".utf8), to: directory + "/" + ModelFileNames.index)
  }

  private func index(of files: [(tensor: String, file: String)]) -> JSONValue {
    let count = parameters.layout.parameterCount
    let sorted = files.sorted { $0.tensor.utf8.lexicographicallyPrecedes($1.tensor.utf8) }
    return .object([
      JSONMember(
        "metadata",
        .object([
          JSONMember("total_parameters", .integer(count)),
          JSONMember("total_size", .integer(count * dtype.dataType.byteCount)),
        ])),
      JSONMember(
        "weight_map", .object(sorted.map { JSONMember($0.tensor, .string($0.file)) })),
    ])
  }

  private func write(_ slots: [ParameterSlot], to path: String) throws(InteropError) {
    let header = SafetensorsHeader(
      laidOut: slots.map {
        SafetensorsHeader.Entry(name: $0.name, dataType: dtype.dataType, shape: $0.shape)
      }, metadata: ["format": "pt"])
    let file = try ExportFile(creating: path)
    try file.write(header.encoded())
    for tensor in header.tensors {
      guard let values = parameters[tensor.name] else { continue }
      switch dtype {
      case .float32: try file.write(UnsafeRawBufferPointer(values))
      case .bfloat16: try Self.appendRounded(values, to: file)
      }
    }
    try file.synchronize()
  }

  private static func appendRounded(
    _ values: UnsafeMutableBufferPointer<Float>, to file: borrowing ExportFile
  ) throws(InteropError) {
    guard let source = values.baseAddress else { return }
    let block = 1 << 20
    let rounded = UnsafeMutablePointer<UInt16>.allocate(capacity: block)
    defer { rounded.deallocate() }
    for start in stride(from: 0, to: values.count, by: block) {
      let count = min(block, values.count - start)
      ElementConversion.encodeBFloat16(source + start, count: count, into: rounded)
      try file.write(UnsafeRawBufferPointer(start: rounded, count: count * 2))
    }
  }
}
