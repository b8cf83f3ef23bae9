import Collectives
import Evaluation
import Foundation
import HuggingFaceInterop
import Kernels
import LanguageModels
import Layers
import Logging
import Optimizers
import StateExpansion
import TensorStorage
import TokenData
import ToyOptimizers
import Training

/// The program with one more family, which is registered here and defined beside this file, and with the
/// optimizers of `Tests/ToyOptimizers`.
///
///     toy-family --config RECIPE [--debug] [--optimizer=NAME] [key.path=value ...]
///     toy-family check MODEL TOKENS FOLDER
///
/// The first trains as `statex-train` does. The second expands an exported model so that it computes what
/// it did, exports and imports it, and measures it before and after.
@main
struct ToyFamily {
  static func main() throws {
    ModelFamilies.register(MovingAverageFamily())
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == "check", arguments.count == 4 {
      try check(model: arguments[1], tokens: arguments[2], folder: arguments[3])
    } else if arguments.first == "--config", arguments.count > 1 {
      try train(
        arguments[1], overrides: arguments.dropFirst(2).filter { !$0.hasPrefix("--") },
        optimizer: arguments.compactMap(optimizer(_:)).first,
        debug: arguments.contains("--debug"))
    } else {
      exit(64)
    }
  }

  private static func optimizer(_ argument: String) -> AnyOptimizerConfiguration? {
    let option = "--optimizer="
    guard argument.hasPrefix(option) else { return nil }
    guard let optimizer = ToyOptimizer(rawValue: String(argument.dropFirst(option.count))) else {
      exit(64)
    }
    return AnyOptimizerConfiguration(optimizer)
  }

  private static func train(
    _ path: String, overrides: [String], optimizer: AnyOptimizerConfiguration?, debug: Bool
  ) throws {
    let communicator = try Communicator()
    let ranks = try Ranks(communicator)
    var recipe = try Recipe.load(path: path, overrides: overrides)
    recipe.train.otherOptimizer = optimizer
    if debug {
      guard try DebugRun(recipe, ranks: ranks).run() else { exit(70) }
    } else {
      var log = Logger(label: "toy-family")
      log.logLevel = .error
      _ = try TrainingRun(recipe, resume: .auto, ranks: ranks, log: log).run()
    }
    try communicator.finalize()
  }

  private static func check(model: String, tokens: String, folder: String) throws {
    let present = try HuggingFaceModel.load(directory: model)
    let size = ExpansionSize("channel_factor", 3)
    let plan = ExpansionPlan(layers: .list([1]), size: size, initialization: .preserve)
    let report = try ExpansionReport(of: plan, applyingTo: present.configuration)
    let (expanded, parameters) = try plan.apply(
      configuration: present.configuration, parameters: present.parameters)
    try HuggingFaceModel.export(
      configuration: expanded, parameters: parameters, rawConfig: present.raw, to: folder)
    let again = try HuggingFaceModel.load(directory: folder)
    precondition(again.configuration == expanded && again.configuration.expandedLayers == [1])
    precondition(again.parameters.buffer.array() == parameters.buffer.array(), "other weights")
    precondition(report.stateAfter == present.configuration.recurrentStateCount * 2)
    let before = try nats(present, tokens)
    let after = try nats(again, tokens)
    precondition(abs(before - after) < 1e-6 * before, "\(before) nats became \(after)")
    print("toy family: pass, \(before) nats")
  }

  private static func nats(_ model: HuggingFaceModel, _ tokens: String) throws -> Double {
    let evaluated = EvaluatedModel(
      LanguageModel(model.configuration), parameters: model.parameters.buffer, segmentLength: 40)
    return try Perplexity(TokenSelection([tokens]), sequenceLength: 64, of: evaluated).measure().nll
  }
}
