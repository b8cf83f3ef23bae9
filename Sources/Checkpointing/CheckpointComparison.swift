import TensorFiles
import TensorStorage

/// How far a tensor of one checkpoint is from that of another.
public struct TensorDifference: Sendable, Equatable {
  /// The store and the tensor, `parameters/lm_head.weight`.
  public let name: String
  /// Elements that differ.
  public let differing: Int
  /// Elements altogether.
  public let count: Int
  /// The largest difference.
  public let largest: Double
  /// Length of the difference over the length of the first tensor; 0 where both are 0.
  public let relative: Double
}

/// What two checkpoints have in common, and what not.
public struct CheckpointComparison: Sendable, Equatable {
  /// Tensors of both, in the order of the first; those without a difference among them.
  public let tensors: [TensorDifference]
  /// Stores and tensors that only the first has.
  public let onlyFirst: [String]
  /// Those that only the second has, or has in another shape or type.
  public let onlySecond: [String]

  /// Compares all values of two checkpoints, whatever their ranks were.
  ///
  /// - Throws: `CheckpointError` when one is damaged or cannot be read.
  public init(_ first: CheckpointReader, _ second: CheckpointReader) throws(CheckpointError) {
    let (mine, theirs) = (Self.places(first), Self.places(second))
    onlyFirst = mine.filter { place in !theirs.contains { $0.matches(place) } }.map(\.name)
    onlySecond = theirs.filter { place in !mine.contains { $0.matches(place) } }.map(\.name)
    var tensors: [TensorDifference] = []
    for place in mine {
      guard let other = theirs.first(where: { $0.matches(place) }) else { continue }
      tensors.append(
        Self.difference(
          place.name, try place.values(first), try other.values(second)))
    }
    self.tensors = tensors
  }

  /// A tensor of a store.
  private struct Place {
    let store: StoreRecord
    let slot: ParameterSlot

    var name: String { store.name + "/" + slot.name }

    func matches(_ other: Place) -> Bool {
      name == other.name && slot.shape == other.slot.shape
        && store.dataType == other.store.dataType
    }

    func values(_ reader: CheckpointReader) throws(CheckpointError) -> [Float] {
      let range = slot.range
      func store(_ bytes: UnsafeMutableRawPointer, _ owner: AnyObject) -> CheckpointStore {
        CheckpointStore(
          self.store.name, dataType: self.store.dataType, covered: self.store.covered,
          parts: [.init(range, at: bytes)], owner: owner)
      }
      if self.store.dataType == .bfloat16 {
        let half = BFloat16Buffer(count: range.count)
        try reader.read(into: store(UnsafeMutableRawPointer(half.pointer), half), range: range)
        return (0..<range.count).map { Float(half.pointer[$0]) }
      }
      let values = FloatBuffer(count: range.count)
      try reader.read(into: store(UnsafeMutableRawPointer(values.pointer), values), range: range)
      return values.array()
    }
  }

  private static func places(_ reader: CheckpointReader) -> [Place] {
    reader.manifest.stores.flatMap { store in
      reader.manifest.layout.slots
        .filter { !$0.range.isEmpty && store.covered.clamped(to: $0.range) == $0.range }
        .map { Place(store: store, slot: $0) }
    }
  }

  private static func difference(_ name: String, _ a: [Float], _ b: [Float]) -> TensorDifference {
    var (differing, largest, squares, length) = (0, 0.0, 0.0, 0.0)
    for (x, y) in zip(a, b) {
      if x.bitPattern != y.bitPattern { differing += 1 }
      let distance = Double(x) - Double(y)
      largest = distance.isNaN || largest.isNaN ? .nan : max(largest, abs(distance))
      squares += distance * distance
      length += Double(x) * Double(x)
    }
    return TensorDifference(
      name: name, differing: differing, count: a.count, largest: largest,
      relative: squares == 0 ? 0 : (squares / length).squareRoot())
  }
}
