import Synchronization

/// The exchange that this process began last, for any thread that wants to know.
public struct CallRecord: Sendable {
  /// The call, for example `MPI_Allreduce`; empty before the first.
  public let call: String
  /// Bytes that this rank sends in it; 0 where that is not told.
  public let bytes: Int
  /// Whether the rank is in it, or waits for it.
  public let isUnderWay: Bool
  /// Exchanges ended so far.
  public let count: Int

  nonisolated(unsafe) private static let name = Atomic<UnsafePointer<UInt8>?>(nil)
  private static let size = Atomic<Int>(0)
  private static let inside = Atomic<Bool>(false)
  private static let ended = Atomic<Int>(0)

  /// What is so now; the parts may be those of two calls that follow one another.
  public static var last: CallRecord {
    CallRecord(
      call: name.load(ordering: .relaxed).map { String(cString: $0) } ?? "",
      bytes: size.load(ordering: .relaxed), isUnderWay: inside.load(ordering: .relaxed),
      count: ended.load(ordering: .relaxed))
  }

  static func begin(_ call: StaticString, bytes: Int) {
    name.store(call.utf8Start, ordering: .relaxed)
    size.store(bytes, ordering: .relaxed)
    inside.store(true, ordering: .relaxed)
  }

  /// Begins to wait for what was begun.
  static func resume() { inside.store(true, ordering: .relaxed) }

  static func end() {
    inside.store(false, ordering: .relaxed)
    ended.wrappingAdd(1, ordering: .relaxed)
  }
}
