import Collectives
import HuggingFaceInterop
import LanguageModels
import Layers
import Optimizers
import RecallTasks
import StateExpansion
import TensorFiles

// From a decoded recipe to what the rooms below take.

extension Recipe.Expansion {
  /// The plan for a model of that family.
  func plan(family: ModelFamily, seed: UInt64) -> ExpansionPlan {
    let selection: LayerSelection =
      switch layers {
      case .every(let stride): .every(stride)
      case .list(let list): .list(list)
      }
    let initialization: ExpansionInitialization =
      switch initialization {
      case .reinitialize: .reinitialize
      case .paper: .paper
      case .inherit: .inherit
      case .preserve: .preserve
      }
    let size: ExpansionSize =
      switch family {
      case .gla: .heads(heads)
      }
    return ExpansionPlan(
      layers: selection, size: size, initialization: initialization, seed: seed)
  }
}

extension Recipe.Train {
  /// The learning rate as a function of the step.
  var learningRate: LearningRateSchedule {
    let shape: LearningRateSchedule.Shape =
      switch schedule.kind {
      case .cosine: .cosine
      case .constant: .constant
      case .linear: .linear
      case .wsd(let decaySteps): .warmupStableDecay(decaySteps: decaySteps)
      }
    return LearningRateSchedule(
      peak: optimizer.learningRate, minimum: optimizer.minimumLearningRate,
      warmupSteps: schedule.warmupSteps, steps: steps, shape: shape)
  }

  /// The constants of AdamW.
  var adamW: AdamWConfiguration {
    AdamWConfiguration(
      beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon,
      weightDecay: optimizer.weightDecay,
      gradientClip: optimizer.gradientClip > 0 ? optimizer.gradientClip : nil)
  }

  /// Micro-batches of a step over all ranks.
  var microBatches: Int { sequencesPerStep / microBatch }
}

extension RecipeValue {
  /// The value as a task's option.
  func taskOption() throws -> TaskOption {
    switch kind {
    case .flag(let value): .bool(value)
    case .integer(let value): .int(value)
    case .number(let value): .double(value)
    case .text(let value): .string(value)
    case .list(let values): .list(try values.map { try $0.taskOption() })
    case .null, .mapping:
      throw RecipeError.wrongType(
        place: place, path: "task option", expected: "a value or a list of values", found: summary)
    }
  }

  /// A mapping as a task's options, without `keys`.
  func taskOptions(without keys: Set<String>) throws -> [String: TaskOption] {
    guard case .mapping(let entries) = kind else { return [:] }
    var options: [String: TaskOption] = [:]
    for entry in entries where !keys.contains(entry.key) {
      options[entry.key] = try entry.value.taskOption()
    }
    return options
  }

  /// The value as JSON, for `config.json` fields.
  var jsonValue: JSONValue {
    switch kind {
    case .null: .null
    case .flag(let value): .bool(value)
    case .integer(let value): .number(String(value))
    case .number(let value): .number(String(value))
    case .text(let value): .string(value)
    case .list(let values): .array(values.map(\.jsonValue))
    case .mapping(let entries):
      .object(entries.map { JSONMember($0.key, $0.value.jsonValue) })
    }
  }
}
