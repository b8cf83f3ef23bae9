import ErrorReporting

/// Hands out parts of one block of memory, one after the other.
///
/// The same code plans and runs: on a plan made with `MemoryPlan.measuring()` nothing may be touched
/// and `peak` tells how much memory the real one needs.
public struct MemoryPlan {
  private let base: UnsafeMutablePointer<Float>
  @usableFromInline let capacity: Int

  /// Elements handed out and not given back.
  public private(set) var used = 0

  /// The largest `used` so far.
  public private(set) var peak = 0

  /// Elements to which every part is aligned: 64 bytes.
  private static let alignment = 16

  /// Hands out parts of the `capacity` elements at `base`.
  ///
  /// - Precondition: `base` is aligned to 64 bytes.
  public init(_ base: UnsafeMutablePointer<Float>, capacity: Int) {
    require(
      Int(bitPattern: base) % (Self.alignment * MemoryLayout<Float>.stride) == 0,
      "a plan's memory is aligned to 64 bytes")
    (self.base, self.capacity) = (base, capacity)
  }

  /// An address that no plan hands out and nothing may follow.
  public static var nowhere: UnsafeMutablePointer<Float> {
    guard let nowhere = UnsafeMutablePointer<Float>(bitPattern: 64) else {
      fatalError("64 is an address")
    }
    return nowhere
  }

  /// A plan without memory: pointers it hands out must not be followed.
  public static func measuring() -> MemoryPlan { MemoryPlan(nowhere, capacity: .max) }

  /// Whether this plan has no memory.
  @inlinable
  public var isMeasuring: Bool { capacity == .max }

  /// Runs what uses the memory, unless there is none.
  @inlinable
  public func run(_ body: () -> Void) {
    if !isMeasuring { body() }
  }

  /// The next `count` elements.
  ///
  /// Ends the program, with both numbers, when the plan has fewer left.
  public mutating func take(_ count: Int) -> UnsafeMutablePointer<Float> {
    require(count >= 0, "\(count) elements of memory")
    let start = used
    used += (count + Self.alignment - 1) / Self.alignment * Self.alignment
    require(used <= capacity, "a plan of \(capacity) elements is asked for \(used)")
    peak = max(peak, used)
    return base + start
  }

  /// A plan of the next `count` elements.
  public mutating func takePlan(_ count: Int) -> MemoryPlan {
    let start = take(count)
    return isMeasuring ? .measuring() : MemoryPlan(start, capacity: used - (start - base))
  }

  /// Gives back everything taken since `used` was `mark`.
  public mutating func rewind(to mark: Int) {
    require(mark <= used, "a plan of which \(used) elements are used is rewound to \(mark)")
    used = mark
  }
}
