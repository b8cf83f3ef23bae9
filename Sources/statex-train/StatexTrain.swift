import ArgumentParser
import Collectives
import CommandSupport
import ErrorReporting
import Foundation
import Logging
import ProgramVersion
import Training

/// `statex-train --config FILE`: the trainer, alone or under mpirun or srun.
@main
struct StatexTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "statex-train",
    abstract: "Expand the recurrent state of a language model and post-train it.",
    discussion: """
      Runs alone, under mpirun, or under srun --mpi=pmix. Exit codes: 0 done; 64 bad usage or \
      recipe; 65 bad input data; 74 I/O failure; 75 stopped on a signal after saving (run it \
      again to continue); 70 internal error.
      """,
    version: programVersion)

  @Option(help: "The recipe, a YAML file.")
  var config: String

  @Flag(
    help: "Check gradients, numbers and reproducibility on this recipe, one process; no training.")
  var debug = false

  @Flag(name: .customLong("dry-run"), help: "Show what would happen, without writing anything.")
  var dryRun = false

  @Option(help: "auto: the newest checkpoint of run.output, if any; never; or a PATH.")
  var resume = "auto"

  @Argument(help: "Recipe overrides, for example train.steps=20.")
  var overrides: [String] = []

  static func main() {
    // Before anything else: a signal during start-up must not kill the rank.
    StopSignals.install()
    let options: StatexTrain
    do {
      options = try parse()
    } catch {
      exitFromParsing(error)
    }
    Foundation.exit(options.train())
  }

  /// Help goes to standard output; anything else is one line, from one rank, and exit code 64.
  private static func exitFromParsing(_ error: any Error) -> Never {
    let isFirst = launcherRank ?? 0 == 0
    if exitCode(for: error) == .success {
      if isFirst { print(fullMessage(for: error)) }
      Foundation.exit(0)
    }
    if isFirst {
      fail(argumentFailure(error, of: Self.self, Array(CommandLine.arguments.dropFirst())))
    }
    Foundation.exit(64)
  }

  /// Runs the recipe on this rank and returns the exit code.
  private func train() -> Int32 {
    StandardError.occupyStandardDescriptors()
    if dryRun || debug { StopSignals.remove() }
    LoggingSystem.bootstrap { PlainLogHandler(label: $0) }
    do {
      try Ranks.prepareLaunch()
    } catch {
      // Every process has the same to say.
      if launcherRank ?? 0 == 0 { fail(FailureReport(error)) }
      return error.exitCode
    }
    let ranks: Ranks
    do {
      ranks = try Ranks(Communicator())
    } catch {
      fail(FailureReport(error))
    }
    do {
      let code = try run(ranks)
      try ranks.leave()
      return code
    } catch {
      return ranks.leave(because: error)
    }
  }

  private func run(_ ranks: Ranks) throws -> Int32 {
    try ranks.checkLaunch()
    let recipe = try ranks.agree { try Recipe.load(path: config, overrides: overrides) }
    if dryRun {
      let plan = try ranks.agree { try TrainingPlan(recipe, ranks: ranks.size) }
      if ranks.leads { print(plan) }
      try ranks.agree { if let shortage = plan.shortage { throw shortage } }
      return 0
    }
    if debug {
      return try DebugRun(recipe, ranks: ranks).run() ? 0 : 70
    }
    var log = Logger(label: "statex-train")
    log.logLevel = ranks.leads ? .info : .error
    let outcome: TrainingRun.Outcome
    do {
      outcome = try TrainingRun(recipe, resume: ResumeMode(resume), ranks: ranks, log: log).run()
    } catch is StoppedBeforeTraining {
      if let reason = ranks.stopReason {
        log.notice("stopped by \(reason) before the first step; start again to resume")
      }
      return 75
    }
    switch outcome {
    case .finished: return 0
    case .stopped: return 75
    }
  }
}

/// Log lines as plain text on standard error, warnings marked.
struct PlainLogHandler: LogHandler {
  var logLevel: Logger.Level = .info
  var metadata: Logger.Metadata = [:]

  init(label: String) {}

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let mark = event.level >= .warning ? "\(event.level): " : ""
    StandardError.write("\(mark)\(event.message)\n")
  }
}
