import TensorStorage

/// Values for (part of) a layout, under the name by which a checkpoint stores them.
///
/// A store that is saved must not change until `save` returns: pass a snapshot to go on training
/// meanwhile.
public struct CheckpointStore {
  /// For example `parameters`, `exp_avg` or `exp_avg_sq`; without a slash.
  public let name: String

  /// The values of the arena's elements `range`.
  public let values: FloatBuffer

  /// The index in the arena of the first value: 0 unless each rank only holds its part.
  public let firstElement: Int

  /// Indices in the arena of the values held.
  public var range: Range<Int> { firstElement..<(firstElement + values.count) }

  /// Names a buffer that holds the arena's elements from `firstElement` on.
  public init(_ name: String, _ values: FloatBuffer, firstElement: Int = 0) {
    self.name = name
    self.values = values
    self.firstElement = firstElement
  }

  /// Whether this can be the name of a store: shards write `<store>/<tensor>`.
  static func isName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("/")
  }

  /// Whether this can be the name of a tensor: shards write `<tensor>[begin:end]` for a part.
  static func isTensorName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("[")
  }

  /// The address of an element of the arena.
  func pointer(_ element: Int) -> UnsafeMutablePointer<Float> {
    values.pointer + (element - firstElement)
  }
}
