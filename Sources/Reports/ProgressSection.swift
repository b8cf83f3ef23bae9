import Charts

/// What was measured between steps of training.
enum ProgressSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let runs = subjects.filter { $0.run?.evaluations.count ?? 0 > 1 }
    var keys: [MeasuredKey] = []
    for subject in runs {
      for (key, _) in subject.run?.evaluations.last?.measured.values ?? []
      where key.isWhole && !keys.contains(key) { keys.append(key) }
    }
    return Page.Section(
      "Evaluation during training", [.figures(keys.compactMap { figure($0, runs) })])
  }

  private static func figure(_ key: MeasuredKey, _ runs: [ReportSubject]) -> Figure? {
    let isLoss = key.task == "perplexity"
    var plot = LinePlot(
      name: "progress-\(slug(key.task))", title: isLoss ? "Loss on held-out text" : key.task,
      axes: ("step", isLoss ? "nats" : key.isShare ? "\(key.metric), percent" : key.metric),
      runs.map { subject in
        let points = (subject.run?.evaluations ?? []).compactMap { step, measured in
          measured.value(key).map {
            LinePlot.Point(x: Double(step), y: $0.value, band: $0.band)
          }
        }
        return LinePlot.Series(subject.title, index: subject.index, points)
      })
    (plot.isShare, plot.hasMarkers) = (key.isShare, true)
    let what = isLoss ? "Loss on held-out text" : "\(key.task), \(key.metric),"
    return plot.figure(
      caption: "\(what) by step.",
      spread: "one standard error over \(isLoss ? "sequences" : "samples") to either side")
  }
}
