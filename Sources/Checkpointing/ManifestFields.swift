import Compression
import JSON
import TensorFiles
import TensorStorage

/// Access to the members of a JSON object, with errors that name the field.
struct ManifestFields {
  /// More elements than any machine holds, few enough that sums of bytes do not overflow.
  private static let maximumElementCount = 1 << 48

  /// More ranges than any partition needs.
  private static let maximumBucketCount = 1 << 20

  private let value: JSONValue
  private let path: String
  private let prefix: String

  init(_ value: JSONValue, path: String, prefix: String = "") {
    self.value = value
    self.path = path
    self.prefix = prefix
  }

  func failure(_ field: String, _ reason: String) -> CheckpointError {
    .invalid(path: path, field: prefix + field, reason: reason)
  }

  /// The stores, each of which covers whole tensors of the layout.
  func stores(_ layout: ParameterLayout) throws(CheckpointError) -> [StoreRecord] {
    var stores: [StoreRecord] = []
    for fields in try elements("stores") {
      guard let type = TensorDataType(rawValue: try fields.string("dtype")),
        CheckpointStore.dataTypes.contains(type)
      else { throw fields.failure("dtype", "is not F32 or BF16") }
      let (first, count) = (try fields.count("first"), try fields.count("elements"))
      guard first <= layout.count, count <= layout.count - first else {
        throw fields.failure("elements", "is more than the tensors have")
      }
      let store = StoreRecord(
        name: try fields.string("name"), dataType: type, covered: first..<(first + count))
      guard store.isAligned(to: layout) else {
        throw fields.failure("elements", "is not where a tensor begins or the last one ends")
      }
      stores.append(store)
    }
    let names = Set(stores.map(\.name))
    guard names.count == stores.count, stores.count <= 64, names.allSatisfy(CheckpointStore.isName)
    else { throw failure("stores", "is not a list of at most 64 distinct names") }
    return stores
  }

  /// How the stores are divided.
  func grain(_ layout: ParameterLayout) throws(CheckpointError) -> ArenaPartition.Grain {
    let fields = ManifestFields(value["partition"] ?? .null, path: path, prefix: "partition.")
    let (bucket, unit) = (try fields.count("bucket"), try fields.count("unit"))
    guard ArenaPartition.Grain.isValid(bucket: bucket, unit: unit),
      bucket <= Self.maximumElementCount, layout.count / bucket <= Self.maximumBucketCount
    else { throw failure("partition", "is not a bucket of a number of units") }
    return ArenaPartition.Grain(bucket: bucket, unit: unit)
  }

  func string(_ field: String) throws(CheckpointError) -> String {
    guard let text = value[field]?.string else { throw failure(field, "is not a string") }
    return text
  }

  /// A whole number that is not negative.
  func count(_ field: String) throws(CheckpointError) -> Int {
    guard let number = value[field]?.integer(), number >= 0 else {
      throw failure(field, "is not a whole number")
    }
    return number
  }

  func array(_ field: String) throws(CheckpointError) -> [JSONValue] {
    guard let array = value[field]?.array else { throw failure(field, "is not a list") }
    return array
  }

  /// A list of whole numbers that are not negative.
  func counts(_ field: String) throws(CheckpointError) -> [Int] {
    var counts: [Int] = []
    for element in try array(field) {
      guard let number = element.integer(), number >= 0 else {
        throw failure(field, "is not a list of whole numbers")
      }
      counts.append(number)
    }
    return counts
  }

  private func hash(_ field: String) throws(CheckpointError) -> UInt64 {
    let text = try string(field)
    guard let hash = UInt64(text, radix: 16), XXH64.hexadecimal(hash) == text else {
      throw failure(field, "is not 16 hexadecimal digits")
    }
    return hash
  }

  private func elements(_ field: String) throws(CheckpointError) -> [ManifestFields] {
    try array(field).enumerated().map { i, element in
      ManifestFields(element, path: path, prefix: "\(prefix)\(field)[\(i)].")
    }
  }

  func creation() throws(CheckpointError) -> CheckpointCreation {
    let fields = ManifestFields(value["created"] ?? .null, path: path, prefix: "created.")
    return CheckpointCreation(
      host: try fields.string("host"), ranks: try fields.count("ranks"),
      time: try fields.string("time"), openBLAS: fields.value["openblas"]?.string,
      products: fields.value["products"]?.string)
  }

  /// Rebuilds the layout and checks that it is the one that was written.
  func layout() throws(CheckpointError) -> ParameterLayout {
    var layout = ParameterLayout()
    for fields in try elements("tensors") {
      let name = try fields.string("name")
      let shape = try fields.counts("shape")
      var count = 1
      for size in shape {
        let (product, overflows) = count.multipliedReportingOverflow(by: size)
        guard !overflows, product <= Self.maximumElementCount else {
          throw fields.failure("shape", "is too large")
        }
        count = product
      }
      guard CheckpointStore.isTensorName(name) else {
        throw fields.failure("name", "\"\(name)\" is not a name without bracket")
      }
      guard layout[name] == nil else { throw fields.failure("name", "\(name) occurs twice") }
      guard layout.count <= Self.maximumElementCount, try fields.count("offset") == layout.count
      else {
        throw fields.failure("offset", "is not where this layout puts \(name)")
      }
      layout.append(name: name, shape: shape)
    }
    guard try count("elements") == layout.count else {
      throw failure("elements", "is not the sum of the tensors")
    }
    return layout
  }

  /// The records of all shards, in order.
  func shards() throws(CheckpointError) -> [ShardRecord] {
    let elements = try elements("shards")
    guard !elements.isEmpty else { throw failure("shards", "is empty") }
    var records: [ShardRecord] = []
    for (index, fields) in elements.enumerated() {
      let record = try fields.shard()
      let name = ShardIdentity.fileName(index: index, count: elements.count)
      guard record.index == index, record.file == name else {
        throw fields.failure("file", "is not shard \(index) of \(elements.count)")
      }
      records.append(record)
    }
    return records
  }

  /// One shard's record, from the manifest or from another rank.
  func shard() throws(CheckpointError) -> ShardRecord {
    ShardRecord(
      index: try count("index"), file: try string("file"), byteCount: try count("bytes"),
      hash: try hash("xxh64"), rawByteCount: try count("raw_bytes"), rawHash: try hash("raw_xxh64"))
  }
}
