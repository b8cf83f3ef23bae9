import Collectives
import ErrorReporting
import Files
import Foundation
import Kernels
import Logging
import Watchdog

extension Ranks {
  /// Starts to watch over the ranks where there are several and the recipe wants it; collective.
  ///
  /// - Parameters:
  ///   - recipe: after how long a silent rank is lost, and where a report goes.
  ///   - log: where it is said that nobody can be watched.
  /// - Throws: `CollectiveError`.
  func startWatch(_ recipe: Recipe, _ log: Logger) throws {
    guard let limit = recipe.run.watchdog, size > 1, watch == nil else { return }
    let own = leads ? WatchInvitation(ranks: size) : nil
    let text = try fromLead(own?.text ?? "")
    let hosts = try communicator.gather(Array(RankWatch.hostName.utf8))
    guard let invitation = own ?? WatchInvitation(text) else {
      if leads { log.warning("nobody watches over the ranks: the system gives no TCP socket") }
      return
    }
    let speaks = rank > 0 && hosts[1...].firstIndex(of: hosts[rank]) == rank
    watch = RankWatch(
      invitation,
      RankWatch.Options(
        rank: rank, size: size, limit: Double(limit.seconds), activity: activity,
        progress: { Self.progress }, speaks: speaks,
        warn: { StandardError.write("warning: \($0)\n") },
        tell: { [errorPrefix, leads] report in
          let line = Self.tell(
            report, prefix: leads ? "" : errorPrefix, directory: recipe.run.output)
          if leads {
            // Whatever the verdict, a restart is worth a try: the batch scripts go by this code.
            RunStatus.noteFailure(in: recipe.run.output, line: line, exitCode: 74)
          }
        }, exit: { _exit($0) }))
  }

  /// How many ranks run on this one's machine; collective.
  ///
  /// - Throws: `CollectiveError`.
  func countOnThisHost() throws -> Int {
    let hosts = try communicator.gather(Array(RankWatch.hostName.utf8))
    return hosts.count { $0 == hosts[rank] }
  }

  /// Makes a file that ranks can no longer read one line, which names the first of them.
  func explainMappingFaults() {
    if size > 1 { MappingFault.prefix = UnsafePointer(strdup(errorPrefix)) }
    MappingFault.isNews = { [unowned self] in
      guard let watch else { return true }
      // Ranks often meet the same fault at the same time.
      usleep(UInt32(150_000 * min(rank, 6)))
      let isFirst = !watch.isEnding
      watch.leave(endingAll: true)
      return isFirst
    }
  }

  /// Lets the lead ask for a stop before time runs out, the recipe's or Slurm's.
  func setDeadline(_ limit: RecipeDuration?, _ log: Logger) {
    guard leads else { return }
    let now = RunClock.seconds
    stop.deadline = StopDeadline.nearest(
      limit, ProcessInfo.processInfo.environment, start: startTime, now: now,
      wallTime: Date().timeIntervalSince1970)
    guard let deadline = stop.deadline else { return }
    let seconds = deadline.remaining(at: now)
    let time =
      seconds < 7200
      ? String(format: "%.1f minutes", seconds / 60) : String(format: "%.1f hours", seconds / 3600)
    log.info("stops by itself within \(time): \(deadline.reason)")
  }

  /// What this process has done so far, from any thread.
  private static var progress: RankProgress {
    let last = CallRecord.last
    return RankProgress(
      count: last.count &+ ThreadPool.jobCount, call: last.call, callBytes: last.bytes,
      isInCall: last.isUnderWay)
  }

  /// One line for the user, and what every rank was doing in a file.
  ///
  /// - Returns: the line.
  private static func tell(
    _ report: RankWatch.Report, prefix: String, directory: String
  ) -> String {
    if report.isOutOfReach { Launcher.endLater() }
    let saved = report.savedStep.map { "saved last: step \($0)" } ?? "nothing was saved"
    let path = directory + "/watchdog-\(report.step).txt"
    let table = report.ranks.isEmpty ? "" : "; all ranks: \(path)"
    let line = "\(prefix)\(report.sentence); \(saved)\(table); start again to resume"
    StandardError.write("error: \(line)\n")
    guard !report.ranks.isEmpty else { return line }
    let text = ([report.sentence, saved] + report.ranks).joined(separator: "\n") + "\n"
    do {
      try FileReplacement.write(Array(text.utf8), to: path)
    } catch {
      StandardError.write(text)
    }
    return line
  }
}
