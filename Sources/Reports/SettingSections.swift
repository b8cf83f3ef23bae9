import Charts

/// The keys of the recipes: what differs between runs, and what they share.
enum RecipeSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let runs = subjects.filter { !($0.run?.settings.isEmpty ?? true) }
    let (different, shared) = SettingTable.split(runs) { $0.run?.settings ?? [] }
    var parts: [Page.Part] = []
    if runs.count > 1 {
      parts.append(
        .table(
          Page.Table(
            "Keys of the recipes that differ.", head: ["key"] + runs.map(\.title), different,
            isNumeric: false)))
    }
    let caption =
      runs.count > 1 ? "Keys that all recipes share." : "The recipe, with defaults filled in."
    parts.append(
      .table(Page.Table(caption, head: ["key", "value"], shared, isNumeric: false)))
    return Page.Section("Recipe", parts)
  }
}

/// What ran the runs: program, libraries, ranks, machine.
enum EnvironmentSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let runs = subjects.filter { !($0.run?.environment.isEmpty ?? true) }
    let rows = SettingTable.rows(runs) { $0.run?.environment ?? [] }
    let table = Page.Table(
      "What ran, as the newest checkpoint and the run's status have it.",
      head: [""] + runs.map(\.title), rows, isNumeric: false)
    return Page.Section("Environment", [.table(table)])
  }
}

/// Names with a value for each subject.
enum SettingTable {
  /// A row for each name, in the order in which names appear.
  static func rows(
    _ subjects: [ReportSubject], _ settings: (ReportSubject) -> [(name: String, value: String)]
  ) -> [[String]] {
    let columns = subjects.map(settings)
    var names: [String] = []
    for (name, _) in columns.joined() where !names.contains(name) { names.append(name) }
    return names.map { name in
      [name] + columns.map { column in column.first { $0.name == name }?.value ?? "-" }
    }
  }

  /// The rows in which subjects differ, and the others with one value.
  static func split(
    _ subjects: [ReportSubject], _ settings: (ReportSubject) -> [(name: String, value: String)]
  ) -> (different: [[String]], shared: [[String]]) {
    let rows = rows(subjects, settings)
    let isShared = { (row: [String]) in Set(row.dropFirst()).count == 1 }
    return (rows.filter { !isShared($0) }, rows.filter(isShared).map { Array($0.prefix(2)) })
  }
}
