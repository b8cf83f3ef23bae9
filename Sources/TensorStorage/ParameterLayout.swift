import ErrorReporting

/// One named tensor inside a flat arena.
public struct ParameterSlot: Sendable, Equatable {
  /// The checkpoint key, for example `model.layers.0.attn.q_proj.weight`.
  public let name: String

  /// Row-major shape.
  public let shape: [Int]

  /// Index of the first element in the arena.
  public let offset: Int

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements' indices in the arena.
  public var range: Range<Int> { offset..<(offset + count) }

  /// Whether weight decay applies: parameters of two or more dimensions.
  public var isMatrix: Bool { shape.count >= 2 }
}

/// Where each parameter lies in the arenas of parameters, gradients and moments.
///
/// Slots start at multiples of 16 elements (64 bytes). The elements between slots are padding: zero
/// in every arena, and zero for ever. Slots that are trained come first, frozen ones after them, so that
/// the arenas of gradients and moments are shorter ones with the same offsets: `trainableCount` elements.
public struct ParameterLayout: Sendable, Equatable {
  /// Elements to which every slot is aligned.
  public static let alignment = 16

  /// The slots in the order in which they were added, which is their order in memory.
  public private(set) var slots: [ParameterSlot] = []

  /// Elements in an arena, padding included.
  public private(set) var count = 0

  /// Elements in an arena of gradients or moments, padding included: those before the first frozen slot.
  public private(set) var trainableCount = 0

  private var indices: [String: Int] = [:]

  /// A layout without slots.
  public init() {}

  /// Number of parameters, padding not counted.
  public var parameterCount: Int { slots.reduce(0) { $0 + $1.count } }

  /// The slots that are trained.
  public var trainableSlots: ArraySlice<ParameterSlot> {
    slots.prefix { $0.offset < trainableCount || trainableCount == count }
  }

  /// Appends a tensor and returns its slot.
  ///
  /// - Parameters:
  ///   - name: the checkpoint key.
  ///   - shape: row-major.
  ///   - isTrainable: whether it is trained.
  /// - Returns: where it lies.
  /// - Precondition: the name is new; nothing that is trained follows what is not.
  @discardableResult
  public mutating func append(
    name: String, shape: [Int], isTrainable: Bool = true
  ) -> ParameterSlot {
    require(indices[name] == nil, "parameter \(name) was declared twice")
    require(!isTrainable || trainableCount == count, "\(name) follows frozen parameters")
    let slot = ParameterSlot(name: name, shape: shape, offset: count)
    indices[name] = slots.count
    slots.append(slot)
    let alignment = Self.alignment
    count += (slot.count + alignment - 1) / alignment * alignment
    if isTrainable { trainableCount = count }
    return slot
  }

  /// Whether both hold tensors of the same names and shapes, in whatever order.
  public func holdsTheSame(as other: ParameterLayout) -> Bool {
    slots.count == other.slots.count && slots.allSatisfy { other[$0.name]?.shape == $0.shape }
  }

  /// The slot of that name, or nil.
  public subscript(name: String) -> ParameterSlot? {
    indices[name].map { slots[$0] }
  }
}

/// Values for every slot of a layout, in one flat buffer.
public final class ParameterArena {
  /// Where each tensor lies.
  public let layout: ParameterLayout

  /// The values, `layout.count` of them.
  public let buffer: FloatBuffer

  /// Allocates an arena of zeros.
  public init(layout: ParameterLayout) {
    self.layout = layout
    self.buffer = FloatBuffer(count: layout.count)
  }

  /// The first element of a slot.
  public func pointer(_ slot: ParameterSlot) -> UnsafeMutablePointer<Float> {
    buffer.pointer + slot.offset
  }

  /// The elements of a slot.
  public func elements(_ slot: ParameterSlot) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: pointer(slot), count: slot.count)
  }

  /// The elements of the slot of that name, or nil when the layout has none.
  public subscript(name: String) -> UnsafeMutableBufferPointer<Float>? {
    layout[name].map(elements)
  }
}
