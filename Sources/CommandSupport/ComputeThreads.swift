import Foundation
import Kernels

/// The processors that the operating system lets this process run on.
public func availableProcessorCount() -> Int {
  var set = cpu_set_t()
  let online = max(1, ProcessInfo.processInfo.activeProcessorCount)
  guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return online }
  let allowed = withUnsafeBytes(of: &set) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
  return allowed > 0 ? allowed : online
}

/// Prepares the kernels of a command that computes: one thread a processor, or as many as asked for.
///
/// Results do not depend on the number. Threads beyond the processors sleep instead of polling.
public func configureCompute(threads: Int?) {
  configureBLAS()
  let available = availableProcessorCount()
  let count = threads ?? available
  if count > available {
    ThreadPool.configure(threadCount: count, spins: 0)
  } else {
    ThreadPool.configure(threadCount: count)
  }
}
