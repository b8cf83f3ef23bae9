import Collectives

/// Why a run stops before its last step.
public struct StopReason: Sendable, Equatable, CustomStringConvertible {
  private enum Cause: Equatable {
    case signal(Int32)
  }

  private let cause: Cause
  /// The rank that knew first.
  private let rank: Int

  /// A signal that rank `rank` received.
  static func signal(_ number: Int32, rank: Int) -> StopReason {
    StopReason(cause: .signal(number), rank: rank)
  }

  private init(cause: Cause, rank: Int) { (self.cause, self.rank) = (cause, rank) }

  /// The reason as a number above 0, for other ranks.
  var code: Int {
    switch cause {
    case .signal(let number): rank << 8 | Int(number)
    }
  }

  /// The reason that another rank's `code` names; nil for 0.
  init?(code: Int) {
    guard code > 0 else { return nil }
    (cause, rank) = (.signal(Int32(code & 0xFF)), code >> 8)
  }

  /// For a log line of the lead.
  public var description: String {
    switch cause {
    case .signal(let number):
      StopSignals.name(number) + (rank == 0 ? "" : " on rank \(rank)")
    }
  }
}

/// Whether the run has to stop, as far as this rank knows: it was asked itself, or heard from another one.
///
/// A rank that is asked tells all others, who may be computing or waiting. Knowing is not agreeing: ranks
/// learn of it at different times, and give up what they do without waiting for each other.
final class StopRequest {
  /// The reason, if this rank knows of one.
  private(set) var reason: StopReason?

  private let rank: Int
  private let announcement: Announcement

  /// Nobody has asked yet; collective.
  ///
  /// - Throws: `CollectiveError`.
  init(_ communicator: Communicator) throws {
    rank = communicator.rank
    announcement = try Announcement(communicator)
  }

  /// Whether the run has to stop: looks for signals and other ranks' words, and passes on the own one.
  ///
  /// - Throws: `CollectiveError`.
  func isMade() throws -> Bool {
    if reason == nil, let signal = StopSignals.received {
      let own = StopReason.signal(signal, rank: rank)
      try announcement.make(own.code)
      reason = own
    }
    if reason == nil, let code = try announcement.received() { reason = StopReason(code: code) }
    return reason != nil
  }

  /// Takes over what all ranks agreed on, unless this one was asked itself.
  func accept(_ agreed: StopReason) {
    reason = StopSignals.received.map { .signal($0, rank: rank) } ?? agreed
  }
}
