import Charts

/// Loss, gradient norm and throughput over the tokens trained on.
enum TrainingSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let runs = subjects.filter { $0.run?.curves != nil }
    let figures = [
      figure("loss", "Loss", "nats a token", runs, \.loss),
      figure("gradient-norm", "Gradient norm", "before clipping", runs, \.gradientNorm) {
        $0.kinds.y = .logarithmic
      },
      figure("throughput", "Throughput", "tokens a second, all ranks", runs, \.throughput),
    ]
    return Page.Section("Training", [.figures(figures.compactMap { $0 })])
  }

  private static func figure(
    _ name: String, _ title: String, _ axis: String, _ runs: [ReportSubject],
    _ curve: KeyPath<RunCurves, ThinnedSeries>, change: (inout LinePlot) -> Void = { _ in }
  ) -> Figure? {
    let curves = runs.compactMap { $0.run?.curves?[keyPath: curve] }
    var plot = LinePlot(
      name: name, title: title, axes: ("tokens", axis),
      zip(runs, curves).map { LinePlot.Series($0.title, index: $0.index, $1.points) })
    change(&plot)
    let isThinned = curves.contains { $0.bins.contains { $0.rows > 1 } }
    let lost = zip(runs, curves).filter { $1.lostRows > 0 }.map { subject, curve in
      "\(subject.title) \(NumberText.grouped(curve.lostRows))"
    }
    return plot.figure(
      caption: "\(title) by tokens trained on."
        + (isThinned ? " Lines are means over neighboring steps, bands their extremes." : "")
        + (lost.isEmpty
          ? "" : " Rows that are not finite, marked in red: \(lost.joined(separator: ", "))."))
  }
}
