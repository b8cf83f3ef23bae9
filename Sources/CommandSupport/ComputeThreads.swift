import Kernels

/// Prepares the kernels of a command that computes: one thread a processor, or as many as asked for.
///
/// Results do not depend on the number. Threads beyond the processors sleep instead of polling.
public func configureCompute(threads: Int?) {
  configureBLAS()
  let available = AllowedProcessors.current().count
  let count = threads ?? available
  if count > available {
    ThreadPool.configure(threadCount: count, spins: 0)
  } else {
    ThreadPool.configure(threadCount: count)
  }
}
