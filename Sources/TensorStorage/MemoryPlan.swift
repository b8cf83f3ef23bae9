/// Hands out parts of one block of memory, one after the other.
///
/// The same code plans and runs: on a plan made with `MemoryPlan.measuring()` nothing may be touched
/// and `peak` tells how much memory the real one needs.
public struct MemoryPlan {
  private let base: UnsafeMutablePointer<Float>

  /// Elements handed out and not given back.
  public private(set) var used = 0

  /// The largest `used` so far.
  public private(set) var peak = 0

  /// Elements to which every part is aligned: 64 bytes.
  private static let alignment = 16

  /// Hands out parts of the memory at `base`.
  public init(_ base: UnsafeMutablePointer<Float>) {
    self.base = base
  }

  /// A plan without memory: pointers it hands out must not be followed.
  public static func measuring() -> MemoryPlan {
    guard let nowhere = UnsafeMutablePointer<Float>(bitPattern: 64) else {
      preconditionFailure("64 is an address")
    }
    return MemoryPlan(nowhere)
  }

  /// The next `count` elements.
  public mutating func take(_ count: Int) -> UnsafeMutablePointer<Float> {
    let start = used
    used += (count + Self.alignment - 1) / Self.alignment * Self.alignment
    peak = max(peak, used)
    return base + start
  }

  /// Gives back everything taken since `used` was `mark`.
  public mutating func rewind(to mark: Int) {
    used = mark
  }
}
