import Foundation

/// Starts a thread that no signal interrupts but those of its own faults.
///
/// - Parameter body: what it does.
/// - Returns: whether the system gave a thread; without one nothing was started.
public func startThread(_ body: @escaping () -> Void) -> Bool {
  final class Box {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }
  let box = Unmanaged.passRetained(Box(body))
  var (all, before) = (sigset_t(), sigset_t())
  sigfillset(&all)
  for fault in [SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP] { sigdelset(&all, fault) }
  pthread_sigmask(SIG_SETMASK, &all, &before)
  defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { raw in
      if let raw { Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().body() }
      return nil
    }, box.toOpaque())
  guard code == 0 else {
    box.release()
    return false
  }
  pthread_detach(thread)
  return true
}
