/// Marks of the list that other tests prove.
enum ElsewhereMarks {
  static let all = [
    mark("F14", "hostile input", "make fuzz"),
    mark("F15", "what verifying and hashing cost", "docs/checkpoint-format.md, Cost"),
    mark("F20", "data that changed under a run", "F10 and F11 here, and Tests/DistributedTests"),
    mark("F23", "round trips to Python", "make interop"),
    mark("F27", "requeues under Slurm", "make test-slurm"),
    mark("F28", "scancel under Slurm", "make test-slurm"),
    mark("F31", "ranks in different exchanges", "WatchdogTests in Tests/DistributedTests"),
  ]

  private static func mark(_ id: String, _ title: String, _ place: String) -> Mark {
    Mark(id: id, title: title) { _ in .elsewhere(place) }
  }
}
