import Compression
import ErrorReporting
import Fields
import TensorFiles
import TensorStorage

// The parts of a manifest. Each is checked against what was read before it, and no number that a damaged
// or hostile file holds can overflow what is computed from it.

/// What a manifest's numbers may be at most.
private enum Limit {
  /// More elements than any machine holds, few enough that sums of bytes do not overflow.
  static let elements = 1 << 48
  /// Bytes of a shard: 64 TiB.
  static let shardBytes = 1 << 46
  /// Shards, so that the bytes of all of them fit in 64 bits.
  static let shards = 1 << 16
  /// More ranges than any partition needs.
  static let buckets = 1 << 18
  static let stores = 64
  /// Bytes that one byte of zstd can hold: blocks of 128 KiB take at least 4 bytes.
  static let ratio = 1 << 15
}

extension FieldReader {
  /// A whole number that is not negative.
  private func count(_ key: String, atMost most: Int = Limit.elements) throws(FieldError) -> Int {
    try integer(key, .atLeast(0), atMost: most)
  }

  private func hash(_ key: String) throws(FieldError) -> UInt64 {
    let text = try text(key)
    guard let hash = UInt64(text, radix: 16), XXH64.hexadecimal(hash) == text else {
      throw invalid(key, "is not 16 hexadecimal digits")
    }
    return hash
  }

  /// The step after which the checkpoint was taken.
  func step() throws(FieldError) -> Int { try count("step") }

  /// Where the checkpoint was made.
  func creation() throws(FieldError) -> CheckpointCreation {
    let created = try mapping("created")
    return CheckpointCreation(
      host: try created.text("host", orEmpty: true),
      ranks: try created.count("ranks", atMost: Limit.shards),
      time: try created.text("time", orEmpty: true),
      openBLAS: try created.optionalText("openblas", orEmpty: true),
      products: try created.optionalText("products", orEmpty: true))
  }

  /// Rebuilds the layout and checks that it is the one that was written.
  func layout() throws(FieldError) -> ParameterLayout {
    var layout = ParameterLayout()
    for tensor in try mappings("tensors") {
      let name = try tensor.text("name")
      let shape = try tensor.integers("shape", .atLeast(0), atMost: Limit.elements)
      guard shape.checkedProduct(atMost: Limit.elements) != nil else {
        throw tensor.invalid("shape", "has more elements than any machine holds")
      }
      guard CheckpointStore.isTensorName(name) else {
        throw tensor.invalid("name", "\"\(name)\" is not a name without bracket")
      }
      guard layout[name] == nil else { throw tensor.invalid("name", "\(name) occurs twice") }
      guard layout.count <= Limit.elements, try tensor.count("offset") == layout.count else {
        throw tensor.invalid("offset", "is not where this layout puts \(name)")
      }
      layout.append(name: name, shape: shape)
    }
    guard try count("elements") == layout.count else {
      throw invalid("elements", "is not the sum of the tensors")
    }
    return layout
  }

  /// The stores, each of which covers whole tensors of the layout.
  func stores(_ layout: ParameterLayout) throws(FieldError) -> [StoreRecord] {
    var stores: [StoreRecord] = []
    for store in try mappings("stores") {
      let types = CheckpointStore.dataTypes
      let word = try store.word("dtype", of: types.map(\.rawValue))
      guard let type = types.first(where: { $0.rawValue == word }) else { continue }
      let (first, count) = (try store.count("first"), try store.count("elements"))
      guard first <= layout.count, count <= layout.count - first else {
        throw store.invalid("elements", "is more than the tensors have")
      }
      let record = StoreRecord(
        name: try store.text("name"), dataType: type, covered: first..<(first + count))
      guard record.isAligned(to: layout) else {
        throw store.invalid("elements", "is not where a tensor begins or the last one ends")
      }
      stores.append(record)
    }
    let names = Set(stores.map(\.name))
    guard names.count == stores.count, stores.count <= Limit.stores,
      names.allSatisfy(CheckpointStore.isName)
    else { throw invalid("stores", "is not a list of at most \(Limit.stores) distinct names") }
    return stores
  }

  /// How the stores are divided.
  func grain(_ layout: ParameterLayout) throws(FieldError) -> ArenaPartition.Grain {
    let partition = try mapping("partition")
    let (bucket, unit) = (try partition.count("bucket"), try partition.count("unit"))
    guard ArenaPartition.Grain.isValid(bucket: bucket, unit: unit),
      layout.count / bucket <= Limit.buckets
    else { throw invalid("partition", "is not a bucket of a number of units") }
    return ArenaPartition.Grain(bucket: bucket, unit: unit)
  }

  /// The records of all shards, in order.
  func shards() throws(FieldError) -> [ShardRecord] {
    let shards = try mappings("shards")
    guard (1...Limit.shards).contains(shards.count) else {
      throw invalid("shards", "must be from 1 to \(Limit.shards), found \(shards.count)")
    }
    var records: [ShardRecord] = []
    for (index, shard) in shards.enumerated() {
      let record = try shard.shard()
      let name = ShardIdentity.fileName(index: index, count: shards.count)
      guard record.index == index, record.file == name else {
        throw shard.invalid("file", "is not shard \(index) of \(shards.count)")
      }
      records.append(record)
    }
    return records
  }

  /// One shard's record, from the manifest or from another rank.
  func shard() throws(FieldError) -> ShardRecord {
    let record = ShardRecord(
      index: try count("index"), file: try text("file"),
      byteCount: try count("bytes", atMost: Limit.shardBytes), hash: try hash("xxh64"),
      rawByteCount: try count("raw_bytes", atMost: Limit.shardBytes),
      rawHash: try hash("raw_xxh64"), encoding: try choice("encoding", default: ShardEncoding.plain)
    )
    guard record.rawByteCount / Limit.ratio <= record.byteCount else {
      throw invalid("raw_bytes", "is more than \(record.byteCount) compressed bytes can hold")
    }
    return record
  }
}
