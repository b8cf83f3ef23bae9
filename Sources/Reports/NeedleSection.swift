import Charts

/// Scores of needles by depth and length, a map for each model and task.
enum NeedleSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    var tasks: [MeasuredKey] = []
    for (key, _) in subjects.compactMap(\.measured).flatMap(\.values) where key.depth != nil {
      let whole = MeasuredKey(task: key.task, metric: key.metric)
      if !tasks.contains(whole) { tasks.append(whole) }
    }
    let figures = tasks.flatMap { task in subjects.compactMap { figure(task, $0) } }
    return Page.Section("Needles by depth and length", [.figures(figures)])
  }

  private static func figure(_ task: MeasuredKey, _ subject: ReportSubject) -> Figure? {
    let found = (subject.measured?.values ?? []).filter {
      $0.key.task == task.task && $0.key.metric == task.metric && $0.key.depth != nil
    }
    let lengths = Set(found.compactMap(\.key.length)).sorted()
    let depths = Set(found.compactMap(\.key.depth)).sorted { (Double($0) ?? 0) < (Double($1) ?? 0) }
    let cells = depths.map { depth in
      lengths.map { length in
        found.first { $0.key.depth == depth && $0.key.length == length }?.value.value
      }
    }
    let map = HeatMap(
      name: "needles-\(slug(task.task))-\(subject.index + 1)",
      title: "\(task.task): \(subject.title)",
      axes: ("tokens of a sample", "depth of the needle: 0 % is the beginning"),
      columns: lengths.map { NumberText.grouped($0) }, rows: depths.map(range), cells)
    return map.figure(
      caption:
        "\(task.task) of \(subject.title): \(task.metric) in percent by the depth of the needle and the "
        + "length of the sample.")
  }

  /// The depths of a bin, which is named after the largest.
  private static func range(_ name: String) -> String {
    guard let end = Double(name), (0...1).contains(end) else { return name }
    let percent = Int((end * 100).rounded())
    return "\(percent - 10)\u{2013}\(percent) %"
  }
}
