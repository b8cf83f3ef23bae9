import Foundation
import SystemPackage

/// A kind of call into the operating system; the text stands in error messages.
package enum FileCall: String, Sendable {
  case accept = "accept a connection at"
  case allocate = "allocate"
  case close = "close"
  case create = "create"
  case createDirectory = "create directory"
  case exchange = "exchange"
  case list = "list"
  case listen = "listen at"
  case lock = "lock"
  case map = "map"
  case open = "open"
  case read = "read"
  case remove = "remove"
  case rename = "rename"
  case status = "stat"
  case sync = "sync"
  case truncate = "truncate"
  case write = "write"

  func failure(_ path: String, _ code: Int32 = errno) -> FileError {
    .io(path: path, operation: rawValue, code: code)
  }

  /// Whether the call only reads, so that making it once more is harmless.
  fileprivate var canBeRepeated: Bool {
    [.list, .map, .open, .read, .status].contains(self)
  }
}

/// Faults for tests: asked before every call that this room makes, on the thread that installed
/// them.
///
/// A hook can make a call fail, make it write short, or "crash" the process, after which every call
/// fails and nothing is cleaned up.
package final class FileFaults: @unchecked Sendable {
  /// What may happen to a call.
  package enum Fault: Sendable {
    /// The call fails with this error number.
    case fail(Int32)
    /// Only half of the bytes are written, which the kernel may always do.
    case shortWrite
    /// The process dies before the call.
    case crash
  }

  /// Asked before each call.
  package typealias Hook = (FileCall, _ path: String) -> Fault?

  @TaskLocal fileprivate static var current: FileFaults?

  private let hook: Hook
  private var isDead = false

  /// Faults that `hook` decides on.
  package init(_ hook: @escaping Hook) { self.hook = hook }

  /// Runs `body`, whose calls on this thread may fail.
  package func during<Value>(_ body: () throws -> Value) rethrows -> Value {
    try Self.$current.withValue(self, operation: body)
  }

  /// `body`, with the faults of this thread when it runs on another one.
  package static func inherited(_ body: @escaping () -> Void) -> () -> Void {
    guard let current else { return body }
    return { current.during(body) }
  }

  fileprivate func fault(_ call: FileCall, _ path: String) -> Fault? {
    if isDead { return .crash }
    let fault = hook(call, path)
    if case .crash = fault { isDead = true }
    return fault
  }
}

/// Asks for a fault before a call; true when it should write short.
@discardableResult
func begin(_ call: FileCall, _ path: String) throws(FileError) -> Bool {
  switch FileFaults.current?.fault(call, path) {
  case nil: return false
  case .shortWrite: return true
  case .fail(let code): throw call.failure(path, code)
  case .crash: throw call.failure(path, ECANCELED)
  }
}

/// Makes a call; every call of this room goes through here, for faults and for errors with path and
/// call.
///
/// A call that only reads is repeated when it fails for a reason that may pass.
@discardableResult
func perform<Value>(
  _ call: FileCall, _ path: String, _ body: () throws -> Value
) throws(FileError) -> Value {
  var pauses = call.canBeRepeated ? pausesBeforeRepeating[...] : []
  while true {
    do throws(FileError) {
      return try performOnce(call, path, body)
    } catch {
      guard error.mayPass, let pause = pauses.popFirst() else { throw error }
      usleep(pause)
    }
  }
}

/// Microseconds between attempts.
///
/// A network file system that loses its server recovers within seconds, or not soon.
private let pausesBeforeRepeating: [UInt32] = [50_000, 200_000, 750_000]

private func performOnce<Value>(
  _ call: FileCall, _ path: String, _ body: () throws -> Value
) throws(FileError) -> Value {
  try begin(call, path)
  do {
    return try body()
  } catch {
    throw call.failure(path, (error as? Errno)?.rawValue ?? EIO)
  }
}

/// Throws `errno` when a C function returns -1.
@discardableResult
func check(_ result: Int32) throws(Errno) -> Int32 {
  guard result != -1 else { throw Errno(rawValue: errno) }
  return result
}
