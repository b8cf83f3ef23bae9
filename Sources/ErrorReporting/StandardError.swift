import Foundation

/// Standard error for a program that must not depend on it.
public enum StandardError {
  /// Writes text; what cannot be written, for example to a full disk or to a pipe that nobody reads any
  /// more, is lost without harm.
  public static func write(_ text: String) {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes[done...].withUnsafeBytes {
        unsafe Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      done += count
    }
  }

  /// Makes sure that standard input, output and error are open: a file that is opened next would otherwise
  /// get a number of theirs, and log lines would go into it.
  public static func occupyStandardDescriptors() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) < 0 {
      _ = unsafe open("/dev/null", O_RDWR)
    }
  }
}
