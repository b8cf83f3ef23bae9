import Collectives

/// Why a run stops before its last step.
public struct StopReason: Sendable, Equatable, CustomStringConvertible {
  /// A number above 0 that says it to other ranks.
  let code: Int

  private static let causes = 0x100
  private static let (timeLimitCause, slurmLimitCause) = (0xFE, 0xFF)

  /// `run.time_limit`.
  package static let timeLimit = StopReason(cause: timeLimitCause, rank: 0)
  /// The time that Slurm gives the job.
  package static let slurmLimit = StopReason(cause: slurmLimitCause, rank: 0)

  /// A signal that rank `rank` received.
  static func signal(_ number: Int32, rank: Int) -> StopReason {
    StopReason(cause: Int(number), rank: rank)
  }

  private init(cause: Int, rank: Int) { code = rank * Self.causes + cause }

  /// The reason that another rank names; nil for 0.
  init?(code: Int) {
    guard code > 0 else { return nil }
    self.code = code
  }

  /// For a log line of the lead.
  public var description: String {
    let (rank, cause) = code.quotientAndRemainder(dividingBy: Self.causes)
    switch cause {
    case Self.timeLimitCause: return "run.time_limit"
    case Self.slurmLimitCause: return "the end of the Slurm job's time"
    default: return StopSignals.name(Int32(cause)) + (rank == 0 ? "" : " on rank \(rank)")
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

  /// When this rank asks by itself; the lead's business.
  var deadline: StopDeadline?
  /// How long the longest save took; nil before the first.
  var savingTakes: () -> Double? = { nil }

  private let rank: Int
  private let announcement: Announcement

  /// Nobody has asked yet; collective.
  ///
  /// - Throws: `CollectiveError`.
  init(_ communicator: Communicator) throws {
    rank = communicator.rank
    announcement = try Announcement(communicator)
  }

  /// Looks for signals, at the clock and for other ranks' words, and passes on what is the own.
  ///
  /// - Parameter work: seconds of what would come before the next question.
  /// - Returns: whether the run has to stop.
  /// - Throws: `CollectiveError`.
  func isMade(before work: Double = 0) throws -> Bool {
    if reason == nil, let own = ownReason(before: work) {
      try announcement.make(own.code)
      reason = own
    }
    if reason == nil, let code = try announcement.received() { reason = StopReason(code: code) }
    return reason != nil
  }

  private func ownReason(before work: Double) -> StopReason? {
    if let signal = StopSignals.received { return .signal(signal, rank: rank) }
    guard let deadline,
      deadline.isDue(at: RunClock.seconds, before: work, savingTakes: savingTakes())
    else { return nil }
    return deadline.reason
  }

  /// Takes over what all ranks agreed on, unless this one was asked itself.
  func accept(_ agreed: StopReason) {
    reason = StopSignals.received.map { .signal($0, rank: rank) } ?? agreed
  }
}
