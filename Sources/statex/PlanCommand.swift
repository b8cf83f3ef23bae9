import ArgumentParser
import CommandSupport
import Training

/// `statex plan`: what a recipe would do; the same as `statex-train --dry-run`.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Say what a recipe would do; write nothing.")

  @Option(help: "The recipe, a YAML file.")
  var config: String

  @Option(help: "Ranks that would train.")
  var ranks = 1

  @Argument(help: "Overrides of the recipe, for example train.steps=20.")
  var overrides: [String] = []

  func validate() throws {
    try requireCount(ranks, "--ranks")
  }

  func run() throws {
    print(try TrainingPlan(Recipe.load(path: config, overrides: overrides), ranks: ranks))
  }
}
