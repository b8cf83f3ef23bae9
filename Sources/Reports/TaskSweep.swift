import RecallTasks

/// A task that was measured at several values of one option: `mqar_8`, `mqar_16`, ...
struct TaskSweep {
  /// The tasks' common name.
  let stem: String
  /// What was varied.
  let axis: String
  /// The metric of all.
  let metric: String
  /// Values of the option with the tasks' names, ascending.
  let members: [(number: Int, task: String)]

  /// Whether the metric is a share.
  var isShare: Bool { MeasuredKey(task: stem, metric: metric).isShare }

  /// The sweeps among what was measured, in the order in which they appear.
  static func all(in columns: [MeasuredColumn]) -> [TaskSweep] {
    var (order, members) = ([MeasuredKey](), [MeasuredKey: [Int: String]]())
    for (key, _) in columns.flatMap(\.values) where key.isWhole {
      guard let (stem, number) = split(key.task) else { continue }
      let sweep = MeasuredKey(task: stem, metric: key.metric)
      if members[sweep] == nil { order.append(sweep) }
      members[sweep, default: [:]][number] = key.task
    }
    return order.compactMap { key in
      let found = (members[key] ?? [:]).sorted { $0.key < $1.key }
      guard found.count > 1 else { return nil }
      return TaskSweep(
        stem: key.task, axis: axis(of: key.task), metric: key.metric,
        members: found.map { ($0.key, $0.value) })
    }
  }

  /// The stem and number of a name; nil for a task whose own name ends in a number, such as `niah_single_1`.
  private static func split(_ name: String) -> (String, Int)? {
    guard !RecallTaskConfiguration.names.contains(name),
      let underscore = name.lastIndex(of: "_"),
      let number = Int(name[name.index(after: underscore)...]), number >= 0
    else { return nil }
    return (String(name[..<underscore]), number)
  }

  private static func axis(of stem: String) -> String {
    switch RecallTaskConfiguration.measuredOption(of: stem) {
    case "pairs": "key-value pairs in the context"
    case let option?: option
    case nil: "value"
    }
  }
}
