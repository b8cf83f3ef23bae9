import ErrorReporting
import Files
import Foundation
import TokenData

/// Shows on a terminal how far tokenizing has come; elsewhere nothing.
final class ProgressLine {
  private let total: Int?
  private let hasTerminal: Bool
  private let start = ContinuousClock.now
  private var lastShown = ContinuousClock.now
  private var first: TextTokenizer.Progress?

  /// A line for work on `inputs`, whose sizes tell when it will be done.
  init(_ inputs: [TextInput], hasTerminal: Bool) {
    self.hasTerminal = hasTerminal
    var total = 0
    for input in inputs {
      guard !input.isStandardInput, let stamp = try? FileSystem.stamp(input.path) else {
        self.total = nil
        return
      }
      total += stamp.byteCount
    }
    self.total = total
  }

  deinit { if hasTerminal && first != nil { StandardError.write("\r\u{1B}[K") } }

  /// Called after each piece of work.
  func show(_ progress: TextTokenizer.Progress) {
    guard hasTerminal else { return }
    let first = first ?? progress
    self.first = first
    let now = ContinuousClock.now
    guard now - lastShown >= .milliseconds(250) else { return }
    lastShown = now
    let seconds = (now - start) / .seconds(1)
    StandardError.write(
      "\r\u{1B}[K" + Self.text(progress, since: first, seconds: seconds, total: total))
  }

  /// The line.
  ///
  /// - Parameters:
  ///   - progress: how far the work has come.
  ///   - first: how far it had come at the start, when interrupted work was taken up.
  ///   - seconds: since the start.
  ///   - total: bytes of all inputs; nil if not known.
  /// - Returns: files, tokens, speed, and the time left where it can be told.
  static func text(
    _ progress: TextTokenizer.Progress, since first: TextTokenizer.Progress, seconds: Double,
    total: Int?
  ) -> String {
    let done = Double(progress.storedBytes - first.storedBytes)
    let textRate = Double(progress.counts.textBytes - first.counts.textBytes) / max(seconds, 1e-3)
    var parts = [
      "\(progress.counts.documents) documents", "\(progress.counts.tokens) tokens",
      String(format: "%.1f MB/s of text", textRate * 1e-6),
    ]
    if let total, total > 0, done > 0 {
      let percent = 100 * Double(progress.storedBytes) / Double(total)
      parts.insert(String(format: "%.1f %%", min(percent, 100)), at: 0)
      let left = Int(Double(max(total - progress.storedBytes, 0)) * seconds / done)
      parts.append(String(format: "%d:%02d:%02d left", left / 3600, left / 60 % 60, left % 60))
    }
    return parts.joined(separator: ", ")
  }
}
