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
      zip(runs, curves).map { run, curve in
        LinePlot.Series(
          run.title, index: run.index, curve.points,
          gaps: run.run?.curves?.gaps.gaps.map(\.places) ?? [])
      })
    change(&plot)
    let isThinned = curves.contains { $0.bins.contains { $0.rows > 1 } }
    let lost = zip(runs, curves).filter { $1.lostRows > 0 }.map { subject, curve in
      "\(subject.title) \(NumberText.grouped(curve.lostRows))"
    }
    return plot.figure(
      caption: "\(title) by tokens trained on."
        + (isThinned ? " Lines are means over neighboring steps, bands their extremes." : "")
        + (lost.isEmpty
          ? "" : " Rows that are not finite, marked in red: \(lost.joined(separator: ", ")).")
        + missing(runs))
  }

  /// Which steps have no rows, of every run that lacks some.
  private static func missing(_ runs: [ReportSubject]) -> String {
    let texts = runs.compactMap { subject -> String? in
      guard let gaps = subject.run?.curves?.gaps, !gaps.gaps.isEmpty else { return nil }
      let steps = gaps.gaps.map { gap in
        let ends = [gap.steps.lowerBound, gap.steps.upperBound].map { NumberText.grouped($0) }
        return gap.steps.count == 1 ? ends[0] : ends.joined(separator: "\u{2013}")
      }
      let more = gaps.count - gaps.gaps.count
      return "\(subject.title) \(steps.joined(separator: ", "))"
        + (more > 0 ? " and \(more) more" : "")
    }
    return texts.isEmpty ? "" : " Shaded: steps without rows, \(texts.joined(separator: "; "))."
  }
}
