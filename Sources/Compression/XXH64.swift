import CXXHash
import ErrorReporting

/// The 64-bit xxHash, fed piece by piece, by the system's libxxhash.
///
/// Equals `xxhsum -H64`. It detects damage, not tampering: it misses one random corruption in 1.8e19.
public struct XXH64: ~Copyable {
  private let state: OpaquePointer

  /// Starts the hash of an empty input.
  public init(seed: UInt64 = 0) {
    guard let state = XXH64_createState() else {
      SystemResources.whenExhausted("the system has no memory for the state of a hash")
    }
    XXH64_reset(state, seed)
    self.state = state
  }

  deinit { XXH64_freeState(state) }

  /// The hash of `bytes`.
  public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    statex_xxh64(bytes.baseAddress, bytes.count, seed)
  }

  /// Appends `bytes` to the input.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    XXH64_update(state, start, bytes.count)
  }

  /// The hash of what was appended so far; more may be appended afterwards.
  public func digest() -> UInt64 { XXH64_digest(state) }

  /// A hash as 16 lower-case hexadecimal digits, as `xxhsum` prints it.
  public static func hexadecimal(_ digest: UInt64) -> String {
    let digits = String(digest, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
