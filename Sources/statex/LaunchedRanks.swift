import ArgumentParser
import Collectives
import CommandSupport
import Evaluation
import Foundation
import Training

/// Runs a command's work with the ranks that a launcher started, or alone.
///
/// Without a launcher MPI is not started. An error of all ranks is reported by one of them.
///
/// - Parameters:
///   - threads: compute threads of a rank; nil for its part of the processors.
///   - body: the work.
/// - Throws: what `body` throws where there is no launcher, `ExitCode` where it was reported.
func withRanks(threads: Int?, _ body: (any EvaluationRanks) throws -> Void) throws {
  guard launcherRank != nil else {
    configureCompute(threads: threads)
    return try body(SingleRank())
  }
  try Ranks.prepareLaunch()
  let ranks = try Ranks(Communicator())
  do {
    try ranks.checkLaunch()
    configureCompute(threads: 1)
    try ranks.configureThreads(threads) { warn($0) }
    try body(ranks)
    try ranks.agree {
      guard fflush(nil) == 0 else { throw CommandError.output(errno) }
    }
    try ranks.leave()
  } catch {
    fflush(nil)
    throw ExitCode(ranks.leave(because: error))
  }
}
