import Files
import Foundation
import Synchronization
import Threads

/// A piece of work on a thread of its own.
final class SavingThread: @unchecked Sendable {
  private let work: () -> Void
  private let isFinished = Atomic<Bool>(false)
  private let end = DispatchSemaphore(value: 0)

  private init(_ work: @escaping () -> Void) { self.work = work }

  /// Starts the work.
  ///
  /// - Returns: nil when the system gives no thread; then nothing was started.
  static func start(_ work: @escaping () -> Void) -> SavingThread? {
    let thread = SavingThread(FileFaults.inherited(work))
    return startThread(thread.run) ? thread : nil
  }

  private func run() {
    work()
    isFinished.store(true, ordering: .releasing)
    end.signal()
  }

  /// Whether the work is done.
  var isDone: Bool { isFinished.load(ordering: .acquiring) }

  /// Returns when it is.
  func wait() {
    end.wait()
    end.signal()
  }
}
