import ErrorReporting

/// Speed over the most recent steps.
public struct Throughput: Sendable {
  private let window: Int
  private var steps: [(tokens: Int, seconds: Double)] = []

  /// Creates a measurement over the last `window` steps, at least 1.
  public init(window: Int) {
    require(window >= 1, "a window has at least one step")
    self.window = window
  }

  /// Adds a step of `tokens` tokens over all ranks that took `seconds`.
  public mutating func record(tokens: Int, seconds: Double) {
    if steps.count == window { steps.removeFirst() }
    steps.append((tokens, seconds))
  }

  /// Tokens per second over the window; 0 before the first step.
  public var tokensPerSecond: Double {
    let tokens = steps.reduce(0) { $0 + $1.tokens }
    let seconds = steps.reduce(0) { $0 + $1.seconds }
    return seconds > 0 ? Double(tokens) / seconds : 0
  }
}
