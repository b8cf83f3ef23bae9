import Foundation

/// Standard error for a program that must not depend on it.
public enum StandardError {
  /// Writes text; text that cannot be written, for example to a full disk or a closed pipe, is
  /// dropped.
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

  /// Makes sure that standard input, output and error are open: otherwise the next file to be
  /// opened could get one of their descriptors, and log lines would end up in it.
  public static func occupyStandardDescriptors() {
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) < 0 {
      _ = unsafe open("/dev/null", O_RDWR)
    }
  }
}
