import Charts
import RecallTasks

/// Scores of tasks: over what was varied, over lengths, and all of them in a table.
enum RecallSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let sweeps = TaskSweep.all(in: subjects.compactMap(\.measured))
    var figures = sweeps.compactMap { figure(of: $0, subjects) }
    figures += tasksByLength(subjects).compactMap { byLength($0, subjects) }
    if let rest = others(subjects, sweeps) { figures.append(rest) }
    if let positions = byPosition(subjects) { figures.append(positions) }
    return Page.Section("Recall and loss", [.figures(figures), .table(table(subjects))])
  }

  private static let spread = "one standard error over samples to either side"

  // MARK: Over what was varied

  private static func figure(of sweep: TaskSweep, _ subjects: [ReportSubject]) -> Figure? {
    var plot = LinePlot(
      name: "recall-\(slug(sweep.stem))", title: "\(sweep.stem): \(sweep.metric)",
      axes: (sweep.axis, sweep.isShare ? "\(sweep.metric), percent" : sweep.metric),
      subjects.map { subject in
        LinePlot.Series(
          subject.title, index: subject.index,
          sweep.members.compactMap { number, task in
            let key = MeasuredKey(task: task, metric: sweep.metric)
            return subject.measured?.value(key).map {
              LinePlot.Point(x: Double(number), y: $0.value, band: $0.band)
            }
          })
      })
    plot.kinds.x = sweep.members.allSatisfy { $0.number > 0 } ? .logarithmic : .linear
    plot.marks = sweep.members.map { Double($0.number) }
    (plot.isShare, plot.hasMarkers) = (sweep.isShare, true)
    plot.rules = chance(sweep.members.map(\.task), subjects)
    return plot.figure(
      caption: "\(sweep.stem) over \(sweep.axis)." + chanceNote(plot.rules), spread: spread)
  }

  /// What guessing scores, where all tasks agree on it.
  private static func chance(
    _ tasks: [String], _ subjects: [ReportSubject]
  ) -> [(name: String, y: Double)] {
    let chances = Set(
      subjects.compactMap(\.measured).flatMap { column in tasks.compactMap { column.chances[$0] } })
    guard chances.count == 1, let chance = chances.first, chance > 0 else { return [] }
    return [("guessing: \(NumberText.percent(chance)) %", chance)]
  }

  private static func chanceNote(_ rules: [(name: String, y: Double)]) -> String {
    rules.first.map { " Dotted: \($0.name)." } ?? ""
  }

  // MARK: Over lengths

  /// Tasks that a subject was measured on at several lengths.
  private static func tasksByLength(_ subjects: [ReportSubject]) -> [MeasuredKey] {
    var tasks: [MeasuredKey] = []
    for column in subjects.compactMap(\.measured) {
      for (key, _) in column.values where key.isWhole && !tasks.contains(key) {
        if column.lengths(of: key).count > 1 { tasks.append(key) }
      }
    }
    return tasks
  }

  private static func byLength(_ key: MeasuredKey, _ subjects: [ReportSubject]) -> Figure? {
    var marks: Set<Double> = []
    let series = subjects.map { subject in
      let points = (subject.measured?.lengths(of: key) ?? []).map { length, value in
        LinePlot.Point(x: Double(length), y: value.value, band: value.band)
      }
      marks.formUnion(points.map(\.x))
      return LinePlot.Series(subject.title, index: subject.index, points)
    }
    var plot = LinePlot(
      name: "length-\(slug(key.task))", title: "\(key.task) by length",
      axes: ("tokens of a sample", key.isShare ? "\(key.metric), percent" : key.metric), series)
    plot.kinds.x = .logarithmic
    plot.marks = marks.sorted()
    (plot.isShare, plot.hasMarkers) = (key.isShare, true)
    plot.rules = chance([key.task], subjects)
    return plot.figure(
      caption: "\(key.task) over the length of a sample." + chanceNote(plot.rules), spread: spread)
  }

  // MARK: The rest

  /// Shares that no other figure shows.
  private static func others(_ subjects: [ReportSubject], _ sweeps: [TaskSweep]) -> Figure? {
    let shown = Set(sweeps.flatMap { $0.members.map(\.task) } + tasksByLength(subjects).map(\.task))
    let keys = keys(subjects).filter {
      $0.isWhole && $0.isShare && $0.task != "perplexity" && !shown.contains($0.task)
    }
    var plot = DotPlot(
      name: "tasks", title: "Tasks", axis: "score, percent",
      rows: keys.map { "\($0.task) \($0.metric)" },
      subjects.map { subject in
        DotPlot.Series(
          subject.title, index: subject.index,
          keys.map { key in
            subject.measured?.value(key).map { .init($0.value, error: $0.standardError) }
          })
      })
    plot.isShare = true
    return plot.figure(caption: "Tasks that were measured at one size.", spread: spread)
  }

  private static func byPosition(_ subjects: [ReportSubject]) -> Figure? {
    var plot = LinePlot(
      name: "loss-by-position", title: "Loss by position", axes: ("position of the token", "nats"),
      subjects.map { subject in
        let points = (subject.measured?.positions ?? []).map { end, loss in
          LinePlot.Point(x: Double(end), y: loss.value, band: loss.band)
        }
        return LinePlot.Series(subject.title, index: subject.index, points)
      })
    plot.kinds.x = .logarithmic
    plot.hasMarkers = true
    return plot.figure(
      caption:
        "Loss on stored text by position in the sequence; each point stands for the tokens from the one "
        + "before.", spread: "one standard error over sequences to either side")
  }

  /// Every key of all subjects, in the order in which they appear.
  private static func keys(_ subjects: [ReportSubject]) -> [MeasuredKey] {
    var (keys, seen) = ([MeasuredKey](), Set<MeasuredKey>())
    for (key, _) in subjects.compactMap(\.measured).flatMap(\.values)
    where seen.insert(key).inserted { keys.append(key) }
    return keys
  }

  private static func table(_ subjects: [ReportSubject]) -> Page.Table {
    let measured = subjects.filter { $0.measured != nil }
    let keys = keys(measured).filter { $0.depth == nil }
    let rows = keys.compactMap { key -> [String]? in
      // One length says what the whole says.
      if key.length != nil, measured.allSatisfy({ $0.measured?.lengths(of: key).count ?? 0 < 2 }) {
        return nil
      }
      let cells = measured.map { $0.measured?.value(key)?.text(key) ?? "-" }
      return [key.label + (key.isShare ? " (%)" : "")] + cells
    }
    return Page.Table(
      "Every number that was measured, with its standard error.",
      head: ["measurement"] + measured.map(\.title), rows)
  }
}

extension MeasuredColumn {
  /// A task's numbers by length, ascending.
  func lengths(of key: MeasuredKey) -> [(length: Int, value: MeasuredValue)] {
    values.compactMap { other, value in
      guard other.task == key.task, other.metric == key.metric, other.depth == nil,
        other.group == nil, let length = other.length
      else { return nil }
      return (length, value)
    }.sorted { $0.length < $1.length }
  }
}
