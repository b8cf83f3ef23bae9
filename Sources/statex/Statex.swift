import ArgumentParser
import CommandSupport
import ProgramVersion

/// `statex`: everything but training.
struct Statex: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "statex",
    abstract: "Expands the state of recurrent language models, and measures and converts them.",
    discussion: """
      Training is `statex-train`. Exit codes: 0 done, 64 wrong usage, 65 bad input data, 70 internal \
      error, 74 input or output failed. Errors are one line on stderr.
      """,
    version: programVersion,
    subcommands: [
      ExpandCommand.self, ConvertCommand.self, EvaluateCommand.self, ProbeCommand.self,
      ScoreCommand.self, GenerateCommand.self, CompareCommand.self, ReportCommand.self,
      InspectCommand.self, DataCommand.self,
      CheckpointCommand.self, PlanCommand.self, RecipeCommand.self,
    ])
}
