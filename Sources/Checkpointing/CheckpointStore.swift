import TensorFiles
import TensorStorage

/// Values for (part of) a layout, under the name by which a checkpoint stores them.
///
/// A store that is saved must not change until `save` returns: pass a snapshot to go on training
/// meanwhile.
public struct CheckpointStore {
  /// Neighbouring values that this process holds.
  public struct Part {
    /// Their indices in the arena.
    public let range: Range<Int>
    /// The first one's bytes.
    public let bytes: UnsafeMutableRawPointer

    /// Names values in memory.
    public init(_ range: Range<Int>, at bytes: UnsafeMutableRawPointer) {
      self.range = range
      self.bytes = bytes
    }
  }

  /// For example `parameters`, `exp_avg` or `exp_avg_sq`; without a slash.
  public let name: String

  /// The values' type: `float32` or `bfloat16`.
  public let dataType: TensorDataType

  /// Elements of the arena that the whole store covers, over all processes; nil for all of them.
  public let covered: Range<Int>?

  /// What this process holds, in ascending order.
  public let parts: [Part]

  private let owner: AnyObject

  /// Names values that `owner` keeps in memory.
  ///
  /// - Parameters:
  ///   - name: the store's name.
  ///   - dataType: the values' type.
  ///   - covered: the elements of the arena that the whole store covers; nil for all of them.
  ///   - parts: what this process holds.
  ///   - owner: kept as long as the store.
  public init(
    _ name: String, dataType: TensorDataType, covered: Range<Int>?, parts: [Part], owner: AnyObject
  ) {
    self.name = name
    self.dataType = dataType
    self.covered = covered
    self.parts = parts
    self.owner = owner
  }

  /// Names a buffer that holds the arena's elements from `firstElement` on.
  public init(_ name: String, _ values: FloatBuffer, firstElement: Int = 0) {
    let range = firstElement..<(firstElement + values.count)
    self.init(
      name, dataType: .float32, covered: nil,
      parts: [Part(range, at: UnsafeMutableRawPointer(values.pointer))], owner: values)
  }

  /// Whether this can be the name of a store: shards write `<store>/<tensor>`.
  static func isName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("/")
  }

  /// Whether this can be the name of a tensor: shards write `<tensor>[begin:end]` for a part.
  static func isTensorName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("[")
  }

  /// The types that a store may have.
  static let dataTypes: [TensorDataType] = [.float32, .bfloat16]

  /// The part that holds all of `range`, or nil.
  func part(holding range: Range<Int>) -> Part? {
    parts.first {
      $0.range.lowerBound <= range.lowerBound && range.upperBound <= $0.range.upperBound
    }
  }

  /// The bytes of elements that one part holds.
  ///
  /// - Precondition: it does.
  func bytes(of range: Range<Int>) -> UnsafeMutableRawBufferPointer {
    guard let part = part(holding: range) else {
      fatalError("\(name) does not hold elements \(range)")
    }
    let width = dataType.byteCount
    return UnsafeMutableRawBufferPointer(
      start: part.bytes + (range.lowerBound - part.range.lowerBound) * width,
      count: range.count * width)
  }
}

/// What a checkpoint says about one of its stores.
public struct StoreRecord: Sendable, Equatable {
  /// Its name.
  public let name: String
  /// The type of its values.
  public let dataType: TensorDataType
  /// The elements of the arena that it covers.
  public let covered: Range<Int>

  /// How they are divided among shards.
  func ranges(of shard: Int, shards: Int, grain: ArenaPartition.Grain) -> [Range<Int>] {
    ArenaPartition(count: covered.count, parts: shards, grain: grain).ranges(of: shard).map {
      ($0.lowerBound + covered.lowerBound)..<($0.upperBound + covered.lowerBound)
    }
  }
}

extension CheckpointStore {
  /// The store as the manifest describes it.
  func record(_ layout: ParameterLayout) -> StoreRecord {
    StoreRecord(name: name, dataType: dataType, covered: covered ?? 0..<layout.count)
  }
}

extension StoreRecord {
  /// Whether a store may begin and end there: between two tensors, or with the first or last one.
  func isAligned(to layout: ParameterLayout) -> Bool {
    [covered.lowerBound, covered.upperBound].allSatisfy { bound in
      bound == 0 || bound == layout.count || layout.slots.contains { $0.offset == bound }
    }
  }
}
