import ErrorReporting
import Fields
import RecallTasks

extension Recipe {
  /// The keys of the recipe's sections, in the order in which a recipe is written; `source` are those
  /// of one entry of `data.sources`, `task` and `task file` those of one of `evaluation.tasks`.
  public static var keysBySection: [(section: String, keys: [FieldKey])] {
    [
      ("run", Run.described(below: "run")), ("model", Model.described),
      ("expansion", Expansion.described(below: "expansion")),
      ("data", DataPlan.described(below: "data")), ("source", Source.described),
      ("train", Train.described(below: "train")),
      ("parallel", Parallel.described(below: "parallel")),
      ("checkpoint", Checkpoint.described(below: "checkpoint")),
      ("evaluation", Evaluation.described(below: "evaluation")),
      ("task", Evaluation.TaskPlan.described),
      ("task file", Evaluation.FilePlan.fields.flatMap(\.described)),
      ("metrics", Metrics.described(below: "metrics")),
    ]
  }

  /// The Markdown tables of the recipe's page, by the name between its marks.
  public static var tables: [(name: String, text: String)] {
    keysBySection.map { ($0.section, FieldKey.table($0.keys)) } + [
      ("tasks", FieldKey.table(RecallTaskConfiguration.options, head: "task"))
    ]
  }

  /// All keys with their dotted paths; `N` counts the elements of a list, and the options of tasks stand
  /// below `task`.
  private static var keysByPath: [FieldKey] {
    keysBySection.flatMap { section, keys in
      switch section {
      case "source": keys.map { $0.below("data.sources.N") }
      case "task", "task file": keys.map { $0.below("evaluation.tasks.N") }
      default: keys
      }
    } + taskOptions
  }

  /// The options of all tasks, for example `task.mqar.pairs`.
  private static var taskOptions: [FieldKey] {
    RecallTaskConfiguration.options.flatMap { task, keys in keys.map { $0.below("task.\(task)") } }
  }

  /// What a key, or every key below it, is; nil for a path that no recipe has.
  ///
  /// - Parameter path: for example `train.optimizer`; empty for all keys. `task.mqar` are the options of a
  ///   task, and `data.sources.0.pairs` is that option of every task that has it.
  /// - Returns: the descriptions, or nil and the nearest path that exists.
  public static func help(on path: String) -> (text: String?, nearest: String?) {
    let generic = path.split(separator: ".").map { Int($0) == nil ? String($0) : "N" }
      .joined(separator: ".")
    let keys = keysByPath
    var found = keys.filter {
      generic.isEmpty || $0.path == generic || $0.path.hasPrefix(generic + ".")
    }
    let last = path.split(separator: ".").last
    let place = ["data.sources.N.", "evaluation.tasks.N."].first(where: generic.hasPrefix)
    if found.isEmpty, place != nil {
      found = taskOptions.filter { $0.path.split(separator: ".").last == last }
    }
    guard found.isEmpty else { return (found.map(\.text).joined(separator: "\n"), nil) }
    let options = place.map { place in
      taskOptions.compactMap { $0.path.split(separator: ".").last.map { place + $0 } }
    }
    let known = keys.map(\.path) + (options ?? [])
    let named = known.first { $0.split(separator: ".").last == last }
    return (nil, named ?? nearestName(to: generic, among: known))
  }
}
