import Foundation

/// When a run has to be over: after `run.time_limit`, or when Slurm's time for the job ends.
///
/// Times are seconds of the system's monotonic clock.
package struct StopDeadline: Sendable, Equatable {
  /// Whose limit it is, for the log.
  package let reason: StopReason
  private let end: Double
  private let total: Double

  /// A limit `total` seconds after `start`.
  package init(_ reason: StopReason, after total: Double, from start: Double) {
    (self.reason, self.total, end) = (reason, total, start + total)
  }

  /// The nearer one of a recipe's limit and Slurm's.
  ///
  /// - Parameters:
  ///   - limit: `run.time_limit`.
  ///   - environment: may hold `SLURM_JOB_END_TIME`, seconds since 1970.
  ///   - start: when the run began.
  ///   - now: the present.
  ///   - wallTime: the present in seconds since 1970.
  /// - Returns: nil if there is neither.
  package static func nearest(
    _ limit: RecipeDuration?, _ environment: [String: String], start: Double, now: Double,
    wallTime: Double
  ) -> StopDeadline? {
    var deadlines: [StopDeadline] = []
    if let limit {
      deadlines.append(StopDeadline(.timeLimit, after: Double(limit.seconds), from: start))
    }
    if let end = environment["SLURM_JOB_END_TIME"].flatMap({ Double($0) }), end > wallTime {
      deadlines.append(StopDeadline(.slurmLimit, after: end - wallTime, from: now))
    }
    return deadlines.min { $0.end < $1.end }
  }

  /// Seconds until the end.
  package func remaining(at now: Double) -> Double { end - now }

  /// Seconds at the end that are kept for saving: twice what the longest save took and a little; before the
  /// first one a tenth of the whole, at most a minute.
  package func reserve(savingTakes seconds: Double?) -> Double {
    guard let seconds else { return min(60, total / 10) }
    return 2 * seconds + min(5, total / 20)
  }

  /// Decides whether it is time to save.
  ///
  /// - Parameters:
  ///   - now: the present.
  ///   - work: seconds of what would come before the next question.
  ///   - seconds: how long the longest save took; nil before the first.
  /// - Returns: whether no time is left for the work.
  package func isDue(at now: Double, before work: Double, savingTakes seconds: Double?) -> Bool {
    remaining(at: now) - reserve(savingTakes: seconds) <= work
  }
}
