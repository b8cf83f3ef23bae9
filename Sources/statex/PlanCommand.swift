import ArgumentParser
import CommandSupport
import Training

/// `statex plan`: what a recipe would do; the same as `statex-train --dry-run`.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Show what a recipe would do, without writing anything.")

  @Option(help: "The recipe, a YAML file.")
  var config: String

  @Option(help: "The number of ranks.")
  var ranks = 1

  @Argument(help: "Recipe overrides, for example train.steps=20.")
  var overrides: [String] = []

  func validate() throws {
    try requireCount(ranks, "--ranks")
  }

  func run() throws {
    let plan = try TrainingPlan(Recipe.load(path: config, overrides: overrides), ranks: ranks)
    print(plan)
    if let shortage = plan.shortage { throw shortage }
  }
}
