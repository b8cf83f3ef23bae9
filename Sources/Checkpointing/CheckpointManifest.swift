import Compression
import Fields
import Files
import JSON
import TensorStorage

/// Where a checkpoint was made.
public struct CheckpointCreation: Sendable, Equatable {
  /// The name of the machine of rank 0.
  public var host: String

  /// How many ranks trained.
  public var ranks: Int

  /// When, in UTC, ISO 8601; empty if not recorded.
  public var time: String

  /// What OpenBLAS says about its kernels, if known: bit equality needs the same.
  public var openBLAS: String?

  /// How matrix products were computed, if known: precision and what multiplied.
  public var products: String?

  /// Records where and when.
  public init(
    host: String, ranks: Int, time: String = "", openBLAS: String? = nil, products: String? = nil
  ) {
    self.host = host
    self.ranks = ranks
    self.time = time
    self.openBLAS = openBLAS
    self.products = products
  }
}

/// The contents of `manifest.json`: what makes a directory of shards a checkpoint.
public struct CheckpointManifest: Sendable, Equatable {
  /// The value of the field `format`.
  public static let format = "statex-checkpoint/1"

  /// The file's name inside the checkpoint.
  public static let fileName = "manifest.json"

  /// The identity of the run, kept over its restarts.
  public let runID: String

  /// The training step after which it was taken.
  public let step: Int

  /// The stores in the order of their values in each shard.
  public let stores: [StoreRecord]

  /// How each store is divided among the shards.
  public let grain: ArenaPartition.Grain

  /// Where each tensor lies in the arena.
  public let layout: ParameterLayout

  /// One record for each shard, in order.
  public let shards: [ShardRecord]

  /// Where it was made.
  public let creation: CheckpointCreation

  /// What the trainer wants to find again: position in the data, seed, fingerprints, ...
  public let training: JSONValue
}

// MARK: - Writing

extension CheckpointManifest {
  /// The file's bytes, checksum included.
  func encoded() -> [UInt8] {
    var bytes = json(checksum: Self.blankChecksum).encoded() + [0x0A]
    let range = Self.checksumRange(in: bytes.count)
    let checksum = bytes.withUnsafeBytes { XXH64.hash($0) }
    bytes.replaceSubrange(range, with: XXH64.hexadecimal(checksum).utf8)
    return bytes
  }

  private static let blankChecksum = String(repeating: "0", count: 16)
  private static let beforeChecksum = Array("\"checksum\": \"".utf8)
  private static let afterChecksum = Array("\"\n}\n".utf8)

  /// Where the 16 digits of the checksum lie in a manifest of `count` bytes: near its end.
  private static func checksumRange(in count: Int) -> Range<Int> {
    let end = count - afterChecksum.count
    return (end - 16)..<end
  }

  private func json(checksum: String) -> JSONValue {
    .object([
      JSONMember("format", .string(Self.format)),
      JSONMember("run_id", .string(runID)),
      JSONMember("step", .integer(step)),
      JSONMember("stores", .array(stores.map(\.json))),
      JSONMember("partition", grain.json),
      JSONMember("elements", .integer(layout.count)),
      JSONMember("parameters", .integer(layout.parameterCount)),
      JSONMember("bytes", .integer(shards.reduce(0) { $0 + $1.byteCount })),
      JSONMember("raw_bytes", .integer(shards.reduce(0) { $0 + $1.rawByteCount })),
      JSONMember("created", creation.json),
      JSONMember("training", training),
      JSONMember("shards", .array(shards.map(\.json))),
      JSONMember("tensors", .array(layout.slots.map(Self.json))),
      JSONMember("checksum", .string(checksum)),
    ])
  }

  private static func json(_ slot: ParameterSlot) -> JSONValue {
    .object([
      JSONMember("name", .string(slot.name)),
      JSONMember("shape", .array(slot.shape.map { .integer($0) })),
      JSONMember("offset", .integer(slot.offset)),
    ])
  }
}

extension StoreRecord {
  fileprivate var json: JSONValue {
    .object([
      JSONMember("name", .string(name)), JSONMember("dtype", .string(dataType.rawValue)),
      JSONMember("first", .integer(covered.lowerBound)),
      JSONMember("elements", .integer(covered.count)),
    ])
  }
}

extension ArenaPartition.Grain {
  fileprivate var json: JSONValue {
    .object([JSONMember("bucket", .integer(bucket)), JSONMember("unit", .integer(unit))])
  }
}

extension CheckpointCreation {
  fileprivate var json: JSONValue {
    var members = [
      JSONMember("host", .string(host)), JSONMember("ranks", .integer(ranks)),
      JSONMember("time", .string(time)),
    ]
    if let openBLAS { members.append(JSONMember("openblas", .string(openBLAS))) }
    if let products { members.append(JSONMember("products", .string(products))) }
    return .object(members)
  }
}

extension ShardRecord {
  /// The record as it stands in the manifest and in messages between ranks.
  var json: JSONValue {
    .object(
      [
        JSONMember("file", .string(file)),
        JSONMember("index", .integer(index)),
        JSONMember("bytes", .integer(byteCount)),
        JSONMember("xxh64", .string(XXH64.hexadecimal(hash))),
        JSONMember("raw_bytes", .integer(rawByteCount)),
        JSONMember("raw_xxh64", .string(XXH64.hexadecimal(rawHash))),
      ] + (encoding == .plain ? [] : [JSONMember("encoding", .string(encoding.rawValue))]))
  }
}

// MARK: - Reading

extension CheckpointManifest {
  /// Parses and checks a manifest.
  ///
  /// - Parameters:
  ///   - bytes: the file.
  ///   - path: its path, for errors.
  /// - Throws: `.invalid` when the checksum is wrong, `.field` when a field is, or contradicts another.
  init(parsing bytes: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
    try Self.checkChecksum(bytes, path: path)
    let value = try CheckpointError.from(try JSONValue(parsing: bytes, source: path))
    self = try CheckpointError.reading { () throws(FieldError) in
      try CheckpointManifest(
        FieldReader(FieldValue(json: value, place: .source(path)), keys: nil),
        training: value["training"] ?? .null)
    }
  }

  /// Reads the fields; what the trainer wants to find again stays as it is written.
  private init(_ fields: FieldReader, training: JSONValue) throws(FieldError) {
    _ = try fields.word("format", of: [Self.format])
    runID = try fields.text("run_id", orEmpty: true)
    step = try fields.step()
    layout = try fields.layout()
    stores = try fields.stores(layout)
    grain = try fields.grain(layout)
    shards = try fields.shards()
    creation = try fields.creation()
    self.training = training
  }

  private static func checkChecksum(
    _ bytes: UnsafeRawBufferPointer, path: String
  ) throws(CheckpointError) {
    func failure(_ reason: String) -> CheckpointError {
      .invalid(path: path, field: "checksum", reason: reason)
    }
    let range = checksumRange(in: bytes.count)
    guard range.lowerBound >= beforeChecksum.count,
      bytes[range.upperBound...].elementsEqual(afterChecksum),
      bytes[..<range.lowerBound].suffix(beforeChecksum.count).elementsEqual(beforeChecksum)
    else { throw failure("the file does not end with its checksum: it is cut or damaged") }
    var hash = XXH64()
    hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<range.lowerBound]))
    Array(blankChecksum.utf8).withUnsafeBytes { hash.update($0) }
    hash.update(UnsafeRawBufferPointer(rebasing: bytes[range.upperBound...]))
    let expected = XXH64.hexadecimal(hash.digest())
    guard bytes[range].elementsEqual(expected.utf8) else {
      throw failure("does not fit the file's contents (\(expected)): the file is damaged")
    }
  }
}
