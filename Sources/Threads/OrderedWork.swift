import Foundation
import Synchronization

/// Applies functions to items on several threads; the results come in the order of the items.
///
/// Which thread takes which item depends on chance, so every worker has to give the same result. The
/// thread that owns it only submits and collects. Its threads end with it.
public final class OrderedWork<Item, Value> {
  /// Gives an item's result; called by one thread at a time.
  public typealias Worker = (Item) -> Value

  /// All jobs whose results were not collected, the oldest first.
  private var submitted: [Job<Item, Value>] = []
  private let queue = JobQueue<Item, Value>()
  /// What the owner's thread works with where there is no other.
  private let own: Worker?
  private let threadCount: Int

  /// Starts a thread for each worker; a single one works on the owner's thread.
  ///
  /// Where the system gives no thread, the owner's does the work.
  ///
  /// - Parameter workers: one or more.
  public init(_ workers: [Worker]) {
    var started = 0
    if workers.count > 1 {
      for worker in workers {
        let body = { [queue] in
          while let job = queue.take() {
            job.value = worker(job.item)
            job.isDone.signal()
          }
        }
        guard startThread(body) else { break }
        started += 1
      }
    }
    threadCount = started
    own = started == 0 ? workers[0] : nil
  }

  deinit {
    for _ in 0..<threadCount { queue.put(nil) }
  }

  /// How many results were not collected.
  public var count: Int { submitted.count }

  /// Hands in an item.
  public func submit(_ item: Item) {
    let job = Job<Item, Value>(item)
    submitted.append(job)
    if let own {
      job.value = own(item)
      job.isDone.signal()
    } else {
      queue.put(job)
    }
  }

  /// Waits for the oldest item's result.
  ///
  /// - Returns: nil when every result was collected.
  public func collect() -> Value? {
    guard !submitted.isEmpty else { return nil }
    let job = submitted.removeFirst()
    job.isDone.wait()
    return job.value
  }
}

/// An item on its way to its result; the semaphore orders the accesses of the two threads.
private final class Job<Item, Value>: @unchecked Sendable {
  let item: Item
  var value: Value?
  let isDone = DispatchSemaphore(value: 0)

  init(_ item: Item) { self.item = item }
}

/// Jobs that no thread has taken; nil asks the thread that takes it to end.
private final class JobQueue<Item, Value>: Sendable {
  private let jobs = Mutex<[Job<Item, Value>?]>([])
  private let available = DispatchSemaphore(value: 0)

  func put(_ job: Job<Item, Value>?) {
    jobs.withLock { $0.append(job) }
    available.signal()
  }

  func take() -> Job<Item, Value>? {
    available.wait()
    return jobs.withLock { $0.removeFirst() }
  }
}
