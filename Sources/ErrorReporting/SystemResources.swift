/// What happens when the system gives the process no memory or no thread, deep inside a computation.
public enum SystemResources {
  /// Called with one line for the user; ends the process.
  ///
  /// Commands report it as they do any error; elsewhere it is fatal.
  public nonisolated(unsafe) static var whenExhausted: (_ line: String) -> Never = {
    fatalError($0)
  }
}
