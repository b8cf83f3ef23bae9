import Foundation
import Synchronization

/// Ends the process with one line when a mapped file can no longer be read: somebody made it shorter, or the
/// disk or network file system below it failed, which the kernel tells by SIGBUS.
///
/// The exit code is 65 for a file that is shorter than it was, 74 otherwise. Signals for other addresses do
/// what they would do without this.
public enum MappingFault {
  /// Stands before the line, behind `error: `; text that lives as long as the process.
  public nonisolated(unsafe) static var prefix: UnsafePointer<CChar>?

  /// Called before the line, in the signal's handler, where it may only do what such a handler may; it says
  /// whether there is still something to say.
  public nonisolated(unsafe) static var isNews: (() -> Bool)?

  /// A mapping; free where `start` is 0.
  private struct Entry: ~Copyable {
    let start = Atomic<UInt>(0)
    let end = Atomic<UInt>(0)
    let path = Atomic<UnsafeMutablePointer<CChar>?>(nil)
  }

  /// Mappings that are watched at one time; of any more a fault is not explained.
  private static let capacity = 4096
  nonisolated(unsafe) private static let entries: UnsafeMutablePointer<Entry> = {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
    for index in 0..<capacity { (entries + index).initialize(to: Entry()) }
    install()
    return entries
  }()
  private static let lock = Mutex(())

  /// Watches over a mapping of the file at `path`.
  static func watch(_ bytes: UnsafeRawBufferPointer, path: String) {
    guard let start = bytes.baseAddress else { return }
    lock.withLock { _ in
      guard
        let free = (0..<capacity).first(where: { entries[$0].start.load(ordering: .relaxed) == 0 })
      else { return }
      entries[free].path.store(strdup(path), ordering: .relaxed)
      entries[free].end.store(UInt(bitPattern: start) + UInt(bytes.count), ordering: .relaxed)
      entries[free].start.store(UInt(bitPattern: start), ordering: .releasing)
    }
  }

  /// Ends it, before the mapping ends.
  static func forget(_ bytes: UnsafeRawBufferPointer) {
    let start = UInt(bitPattern: bytes.baseAddress)
    guard start != 0 else { return }
    lock.withLock { _ in
      for index in 0..<capacity where entries[index].start.load(ordering: .relaxed) == start {
        entries[index].start.store(0, ordering: .releasing)
        free(entries[index].path.exchange(nil, ordering: .relaxed))
        return
      }
    }
  }

  private static func install() {
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { number, info, _ in
      MappingFault.handle(number, UInt(bitPattern: info?.pointee._sifields._sigfault.si_addr))
    }
    action.sa_flags = SA_SIGINFO
    sigaction(SIGBUS, &action, nil)
  }

  /// The handler: nothing in it allocates or locks.
  private static func handle(_ number: Int32, _ address: UInt) {
    for index in 0..<capacity {
      let start = entries[index].start.load(ordering: .acquiring)
      guard start != 0, start <= address, address < entries[index].end.load(ordering: .relaxed),
        let path = entries[index].path.load(ordering: .relaxed)
      else { continue }
      end(UnsafePointer(path), offset: address - start)
    }
    // Nobody's mapping: the instruction is tried again, and ends the process as without a handler.
    signal(number, SIG_DFL)
  }

  private static func end(_ path: UnsafePointer<CChar>, offset: UInt) -> Never {
    var status = stat()
    let isShorter = stat(path, &status) == 0 && UInt(status.st_size) <= offset
    let code: Int32 = isShorter ? 65 : 74
    if let isNews, !isNews() { _exit(code) }
    write("error: ")
    if let prefix { write(prefix, strlen(prefix)) }
    if isShorter {
      write(path, strlen(path))
      write(
        ": the file has become shorter while it is in use: put it back as it was, and start again\n"
      )
    } else {
      write("cannot read ")
      write(path, strlen(path))
      write(": the disk or file system below it has failed (SIGBUS)\n")
    }
    _exit(code)
  }

  private static func write(_ text: StaticString) {
    text.utf8Start.withMemoryRebound(to: CChar.self, capacity: text.utf8CodeUnitCount) {
      write($0, text.utf8CodeUnitCount)
    }
  }

  private static func write(_ text: UnsafePointer<CChar>, _ count: Int) {
    _ = Foundation.write(STDERR_FILENO, text, count)
  }
}
