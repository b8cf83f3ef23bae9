import ErrorReporting
import Foundation
import Synchronization
import TensorStorage

/// Runs `body(job, i)` for every `i` in `0..<count`, spread over the threads of `ThreadPool.shared`.
///
/// Thread `t` of `n` takes the indices `t * count / n ..< (t + 1) * count / n`: the partition is
/// static, so timing never decides who computes what. Bodies must write disjoint memory, and what a
/// body computes must not depend on the partition; then results do not depend on the thread count.
///
/// - Parameters:
///   - count: number of tiles.
///   - job: everything the body needs, usually a tuple of pointers and sizes. It is passed instead of
///     captured, because a capturing closure that is handed to other threads costs an allocation.
///   - body: the work of one tile; must not capture and must not call `parallelFor`.
@inline(__always)
public func parallelFor<Job>(_ count: Int, _ job: Job, _ body: @escaping (Job, Int) -> Void) {
  ThreadPool.betweenJobs?()
  ThreadPool.countJob()
  let pool = ThreadPool.shared
  if pool.threadCount == 1 || count <= 1 {
    for index in 0..<count { body(job, index) }
    return
  }
  withUnsafePointer(to: TileFrame(job: job, body: body)) { frame in
    pool.run(count, UnsafeRawPointer(frame), TileFrameRunner<Job>.self)
  }
}

/// A job and its body, on the caller's stack while the workers run it.
@usableFromInline
struct TileFrame<Job> {
  @usableFromInline let job: Job
  @usableFromInline let body: (Job, Int) -> Void

  @usableFromInline
  init(job: Job, body: @escaping (Job, Int) -> Void) {
    self.job = job
    self.body = body
  }
}

@usableFromInline
protocol ErasedTileRunner {
  static func run(_ frame: UnsafeRawPointer, _ indices: Range<Int>)
}

@usableFromInline
enum TileFrameRunner<Job>: ErasedTileRunner {
  @usableFromInline
  static func run(_ frame: UnsafeRawPointer, _ indices: Range<Int>) {
    let frame = frame.assumingMemoryBound(to: TileFrame<Job>.self)
    for index in indices { frame.pointee.body(frame.pointee.job, index) }
  }
}

/// The process's compute threads: the caller and `threadCount - 1` workers.
///
/// Workers spin for a short while after a job and then sleep on a condition variable. Only one
/// thread of the process may call `parallelFor` at a time.
public final class ThreadPool: @unchecked Sendable {
  /// The pool that `parallelFor` uses; one thread until `configure` is called.
  public private(set) nonisolated(unsafe) static var shared = ThreadPool(threadCount: 1)

  /// Called on the calling thread before each job, when set.
  ///
  /// Lets communication go on during long computations. It may call `parallelFor` itself, and must be
  /// quick.
  public nonisolated(unsafe) static var betweenJobs: (() -> Void)?

  private static let jobs = Atomic<Int>(0)

  /// Jobs begun so far, for any thread that wants to see whether something is done.
  public static var jobCount: Int { jobs.load(ordering: .relaxed) }

  /// Counts a job; one thread at a time begins them.
  @usableFromInline
  static func countJob() {
    jobs.store(jobs.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// Replaces the shared pool.
  ///
  /// - Parameters:
  ///   - threadCount: compute threads including the caller.
  ///   - spins: polls of the job counter before a thread sleeps; 0 when cores are oversubscribed.
  /// - Precondition: no job is running. Threads that the system does not give end the process
  ///   (`SystemResources`).
  public static func configure(threadCount: Int, spins: Int = 4000) {
    let old = shared
    shared = ThreadPool(threadCount: threadCount, spins: spins)
    old.stop()
  }

  /// Threads that take part in a job.
  public let threadCount: Int

  private let spins: Int
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let finish = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let generation = Atomic<Int>(0)
  private let pending = Atomic<Int>(0)
  private var stopping = false
  private var tileCount = 0
  private var frame: UnsafeRawPointer?
  private var runner: (any ErasedTileRunner.Type)?
  private var threads: [pthread_t] = []

  private init(threadCount: Int, spins: Int = 4000) {
    require(threadCount >= 1, "a pool needs a thread")
    self.threadCount = threadCount
    self.spins = spins
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(finish, nil)
    for index in 1..<max(threadCount, 1) { start(worker: index) }
  }

  private func start(worker index: Int) {
    let box = Unmanaged.passRetained(WorkerStart(pool: self, index: index)).toOpaque()
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let start = Unmanaged<WorkerStart>.fromOpaque(raw).takeRetainedValue()
        start.pool.work(as: start.index)
        return nil
      }, box)
    guard code == 0 else {
      SystemResources.whenExhausted(
        "compute thread \(index + 1) of \(threadCount) cannot be started: "
          + "\(String(cString: strerror(code))); use fewer threads, or raise `ulimit -u` or `ulimit -v`"
      )
    }
    threads.append(thread)
  }

  @usableFromInline
  func run(_ count: Int, _ frame: UnsafeRawPointer, _ runner: any ErasedTileRunner.Type) {
    pthread_mutex_lock(mutex)
    tileCount = count
    self.frame = frame
    self.runner = runner
    pending.store(threadCount - 1, ordering: .relaxed)
    generation.wrappingAdd(1, ordering: .releasing)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)

    runner.run(frame, share(of: 0, count))
    for _ in 0..<spins where pending.load(ordering: .acquiring) != 0 {}
    if pending.load(ordering: .acquiring) != 0 {
      pthread_mutex_lock(mutex)
      while pending.load(ordering: .acquiring) != 0 { pthread_cond_wait(finish, mutex) }
      pthread_mutex_unlock(mutex)
    }
  }

  private func share(of thread: Int, _ count: Int) -> Range<Int> {
    (thread * count / threadCount)..<((thread + 1) * count / threadCount)
  }

  private func work(as index: Int) {
    var seen = 0
    while true {
      for _ in 0..<spins where generation.load(ordering: .acquiring) == seen {}
      if generation.load(ordering: .acquiring) == seen {
        pthread_mutex_lock(mutex)
        while generation.load(ordering: .acquiring) == seen { pthread_cond_wait(wake, mutex) }
        pthread_mutex_unlock(mutex)
      }
      seen = generation.load(ordering: .acquiring)
      if stopping { return }
      if let frame, let runner { runner.run(frame, share(of: index, tileCount)) }
      if pending.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_signal(finish)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  private func stop() {
    pthread_mutex_lock(mutex)
    stopping = true
    generation.wrappingAdd(1, ordering: .releasing)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(wake)
    pthread_cond_destroy(finish)
    mutex.deallocate()
    wake.deallocate()
    finish.deallocate()
  }
}

private final class WorkerStart {
  let pool: ThreadPool
  let index: Int

  init(pool: ThreadPool, index: Int) {
    self.pool = pool
    self.index = index
  }
}
