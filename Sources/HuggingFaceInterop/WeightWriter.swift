import Files
import JSON
import LanguageModels
import TensorFiles
import TensorStorage

/// A tensor of an export.
struct StoredParameter {
  /// Its name in the file.
  let name: String
  /// The parameter whose values it holds.
  let slot: ParameterSlot

  /// The tensors of a model in a dialect, in the order of the arena; a tied head last where it is
  /// stored.
  static func all(
    of configuration: ModelConfiguration, dialect: any ModelDialect
  ) -> [StoredParameter] {
    let layout = configuration.layout()
    var all = layout.slots.map { slot in
      StoredParameter(name: dialect.checkpointName(slot.name), slot: slot)
    }
    let family = configuration.family
    if configuration.tiesEmbeddings, dialect.storesTiedHead,
      let embeddings = layout[family.embeddingsKey]
    {
      all.append(StoredParameter(name: dialect.checkpointName(family.headKey), slot: embeddings))
    }
    return all
  }
}

/// Writes an arena as one safetensors file, as shards with an index, or as `torch.save` does.
struct WeightWriter {
  let parameters: ParameterArena
  let types: ElementTypes
  let shards: [[StoredParameter]]

  /// Deals the tensors to shards of at most `maxShardBytes` in the order given; a tensor that is larger
  /// gets a shard of its own.
  init(
    _ parameters: ParameterArena, _ tensors: [StoredParameter], types: ElementTypes,
    maxShardBytes: Int
  ) {
    self.parameters = parameters
    self.types = types
    var shards: [[StoredParameter]] = [[]]
    var filled = 0
    for tensor in tensors {
      let size = tensor.slot.count * types[tensor.slot.name].dataType.byteCount
      if filled > 0, filled + size > maxShardBytes {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(tensor)
      filled += size
    }
    self.shards = shards
  }

  /// Creates the files in a directory that has none of them.
  ///
  /// - Throws: `.refused` for a weight that is no number of its type, or for shards of a format whose
  ///   reader knows one file only; `.file`, `.interrupted`.
  func write(
    _ format: WeightFormat, to directory: String, isInterrupted: () -> Bool = { false }
  ) throws(InteropError) {
    switch format {
    case .safetensors: try writeSafetensors(to: directory, isInterrupted)
    case .torch:
      guard shards.count == 1 else {
        throw .refused(
          path: directory + "/" + format.fileName,
          problem: "must be one file, and the weights are larger than the shard size asked for")
      }
      try writeTorch(to: directory + "/" + format.fileName, isInterrupted)
    }
  }

  private func writeSafetensors(
    to directory: String, _ isInterrupted: () -> Bool
  ) throws(InteropError) {
    let format = WeightFormat.safetensors
    guard shards.count > 1 else {
      return try write(shards[0], to: directory + "/" + format.fileName, isInterrupted)
    }
    var files: [(tensor: String, file: String)] = []
    for (index, tensors) in shards.enumerated() {
      let name = ModelFileNames.shard(index + 1, of: shards.count)
      try write(tensors, to: directory + "/" + name, isInterrupted)
      files += tensors.map { ($0.name, name) }
    }
    let list = index(of: files).encoded() + Array("\n".utf8)
    try InteropError.from(
      try OutputFile.write(list, creating: directory + "/" + format.indexName))
  }

  private func index(of files: [(tensor: String, file: String)]) -> JSONValue {
    let slots = shards.joined().map(\.slot)
    let size = slots.reduce(0) { $0 + $1.count * types[$1.name].dataType.byteCount }
    let sorted = files.sorted { $0.tensor.utf8.lexicographicallyPrecedes($1.tensor.utf8) }
    return .object([
      JSONMember(
        "metadata",
        .object([
          JSONMember("total_parameters", .integer(slots.reduce(0) { $0 + $1.count })),
          JSONMember("total_size", .integer(size)),
        ])),
      JSONMember(
        "weight_map", .object(sorted.map { JSONMember($0.tensor, .string($0.file)) })),
    ])
  }

  private func write(
    _ tensors: [StoredParameter], to path: String, _ isInterrupted: () -> Bool
  ) throws(InteropError) {
    let header = SafetensorsHeader(
      laidOut: tensors.map {
        SafetensorsHeader.Entry(
          name: $0.name, dataType: types[$0.slot.name].dataType, shape: $0.slot.shape)
      }, metadata: ["format": "pt"])
    let slots = Dictionary(
      tensors.map { ($0.name, $0.slot) }, uniquingKeysWith: { first, _ in first })
    let file = try InteropError.from(
      try OutputFile(creating: path, expectedByteCount: header.fileByteCount))
    try InteropError.from(try file.write(header.encoded()))
    for tensor in header.tensors {
      if isInterrupted() { throw .interrupted(path: path) }
      guard let slot = slots[tensor.name] else { continue }
      try forEachBlock(of: slot, path: path) { block throws(InteropError) in
        try InteropError.from(try file.write(block))
      }
    }
    try InteropError.from(try file.commit())
  }

  /// Hands over a parameter's elements in order, each checked and rounded to the parameter's type.
  func forEachBlock(
    of slot: ParameterSlot, path: String,
    _ body: (UnsafeRawBufferPointer) throws(InteropError) -> Void
  ) throws(InteropError) {
    guard let elements = parameters[slot.name] else { return }
    let values = UnsafeBufferPointer(elements)
    let type = types[slot.name]
    let block = 1 << 20
    let rounded = UnsafeMutableRawBufferPointer.allocate(byteCount: block * 4, alignment: 64)
    defer { rounded.deallocate() }
    for start in stride(from: 0, to: values.count, by: block) {
      let count = min(block, values.count - start)
      let part = UnsafeBufferPointer(rebasing: values[start..<(start + count)])
      if let index = ElementConversion.firstBeyond(type, part) {
        throw Self.beyond(type, part[index], tensor: slot.name, at: start + index, path: path)
      }
      let bytes = UnsafeMutableRawBufferPointer(
        rebasing: rounded[..<(count * type.dataType.byteCount)])
      ElementConversion.encode(part, as: type, into: bytes)
      try body(UnsafeRawBufferPointer(bytes))
    }
  }

  private static func beyond(
    _ type: ElementType, _ value: Float, tensor: String, at index: Int, path: String
  ) -> InteropError {
    let what = "tensor '\(tensor)' holds \(value.isNaN ? "NaN" : "\(value)") (element \(index))"
    guard value.isFinite else {
      return .tensors(file: path, problem: what + ": the weights have diverged; nothing is written")
    }
    return .refused(
      path: path, problem: what + ", beyond the range of \(type.torchName); use another type")
  }
}
