import Charts
import Evaluation
import JSON

/// What `statex probe` found of each layer: what its state holds, and what is lost without it or with half of it.
enum ProbeSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let probed = subjects.compactMap { subject in subject.probe.map { (subject, $0) } }
    return Page.Section(
      "What each layer remembers",
      probed.flatMap { subject, probe -> [Page.Part] in
        let figures =
          probe.windows.flatMap { window in
            [Loss.recall, .memory, .size].map { cuts(subject, probe, window, $0) }
          } + [ranks(subject, probe)]
        return [.figures(figures.compactMap { $0 }), .table(table(subject, probe))]
      })
  }

  // MARK: Figures

  /// What a layer is deprived of, and what is measured then.
  private struct Loss {
    let name: String
    let title: String
    /// The number of the report, what it is multiplied by, and the unit of the product.
    let key: String
    let factor: Double
    let axis: String
    /// Whether heads keep half their rank; they forget otherwise.
    let keepsHalf: Bool

    static let recall = Loss(
      "accuracy-lost", "Recall lost", ("accuracy_lost", 100, "points of accuracy"))
    static let memory = Loss("nll-gained", "Loss gained", ("nll_gained", 1, "nats a token"))
    static let size = Loss(
      "half-rank", "Loss gained with half the rank", ("nll_gained", 1, "nats a token"),
      keepsHalf: true)

    init(
      _ name: String, _ title: String, _ number: (String, Double, String), keepsHalf: Bool = false
    ) {
      (self.name, self.title, self.keepsHalf) = (name, title, keepsHalf)
      (key, factor, axis) = number
    }
  }

  private static func cuts(
    _ subject: ReportSubject, _ probe: ProbedLayers, _ window: Int, _ loss: Loss
  ) -> Figure? {
    let plot = BarPlot(
      name: "probe-\(loss.name)-\(subject.index + 1)-\(window)",
      title: "\(loss.title): \(subject.title)", axes: ("layer", loss.axis), categories: probe.names,
      probe.tasks.enumerated().map { index, task in
        let found = probe.layers.map {
          ProbedLayers.cut($0, task, window, keepsHalf: loss.keepsHalf)?[loss.key]
        }
        return BarPlot.Series(
          task, index: index, found.map { $0?["mean"]?.double.map { $0 * loss.factor } },
          errors: found.map { $0?["stderr"]?.double.map { $0 * loss.factor } })
      })
    let deprived =
      loss.keepsHalf
      ? "each head's state of one layer is held to half its rank" : "one layer forgets its state"
    return plot.figure(
      caption: "\(loss.title) by \(subject.title) when \(deprived) every "
        + "\(window == 1 ? "token" : "\(window) tokens"), layer by layer.",
      spread: "one standard error over samples, of the differences on the same ones, to either side"
    )
  }

  private static func ranks(_ subject: ReportSubject, _ probe: ProbedLayers) -> Figure? {
    let plot = BarPlot(
      name: "probe-rank-\(subject.index + 1)", title: "Effective rank: \(subject.title)",
      axes: ("layer", "mean over heads"), categories: probe.names,
      probe.tasks.enumerated().map { index, task in
        BarPlot.Series(
          task, index: index, probe.layers.map { ProbedLayers.rank($0, task) })
      })
    return plot.figure(
      caption:
        "Effective rank of the state of \(subject.title) at the end of a sample, mean over a layer's heads."
    )
  }

  // MARK: Table

  private static func table(_ subject: ReportSubject, _ probe: ProbedLayers) -> Page.Table {
    let window = probe.windows[0]
    let rows = zip(probe.names, probe.layers).map { name, layer in
      [
        name, layer["state_shape"]?.string ?? "-",
        layer["largest_rank"]?.integer(as: Int.self).map(String.init) ?? "-",
      ]
        + probe.tasks.flatMap { task in
          let cut = ProbedLayers.cut(layer, task, window, keepsHalf: false)
          let half = ProbedLayers.cut(layer, task, window, keepsHalf: true)
          return [
            text(cut?["accuracy_lost"], 100, 1), text(cut?["nll_gained"], 1, 4),
            text(half?["nll_gained"], 1, 4),
          ]
        }
        + [probe.recommended.contains(name) ? "yes" : ""]
    }
    let columns = probe.tasks.flatMap {
      ["\($0): points lost", "\($0): nats gained", "\($0): nats gained at half rank"]
    }
    return Page.Table(
      "\(subject.title): what is lost when a layer forgets, or keeps half its rank, every "
        + "\(window == 1 ? "token" : "\(window) tokens"), "
        + "with standard errors; the last column is what the probe recommends to expand.",
      head: ["layer", "state", "largest rank"] + columns + ["expand"], rows)
  }

  private static func text(_ json: JSONValue?, _ factor: Double, _ decimals: Int) -> String {
    guard let mean = json?["mean"]?.double, mean.isFinite else { return "-" }
    let error = json?["stderr"]?.double.map {
      " \u{B1} " + NumberText.fixed($0 * factor, decimals)
    }
    return NumberText.fixed(mean * factor, decimals) + (error ?? "")
  }
}

/// A report of `statex probe` (docs/evaluation.md).
struct ProbedLayers {
  /// Entries of the layers, in their order.
  let layers: [JSONValue]
  /// Numbers of the layers.
  let names: [String]
  /// What was measured, in the order of the report.
  let tasks: [String]
  /// After how many tokens a layer forgot; at least one.
  let windows: [Int]
  /// Numbers of the layers that the probe recommends.
  let recommended: Set<String>

  /// Reads a report.
  ///
  /// - Returns: nil for a file that is none.
  /// - Throws: `ReportError.data` for one that cannot be understood.
  init?(_ json: JSONValue, _ path: String) throws(ReportError) {
    guard let format = json["format"]?.string, format.hasPrefix("statex-probe/") else {
      return nil
    }
    guard format == ProbeReport.format else {
      throw .data(path, "format: \(format) is not \(ProbeReport.format); use a newer statex")
    }
    guard let layers = json["layers"]?.array, !layers.isEmpty,
      case let windows = (json["windows"]?.array ?? []).compactMap({ $0.integer(as: Int.self) }),
      !windows.isEmpty
    else { throw .data(path, "needs `layers` and `windows`") }
    (self.layers, self.windows) = (layers, windows)
    names = layers.enumerated().map { index, layer in
      "\(layer["layer"]?.integer(as: Int.self) ?? index)"
    }
    var tasks: [String] = []
    for name in (json["intact"]?.array ?? []).compactMap({ $0["name"]?.string })
    where !tasks.contains(name) { tasks.append(name) }
    self.tasks = tasks
    recommended = Set(
      (json["recommended"]?.array ?? []).compactMap { $0.integer(as: Int.self).map(String.init) })
  }

  /// What was lost in a layer that forgot, or kept half its rank.
  static func cut(
    _ layer: JSONValue, _ task: String, _ window: Int, keepsHalf: Bool
  ) -> JSONValue? {
    layer["cuts"]?.array?.first {
      $0["name"]?.string == task && $0["window"]?.integer() == window
        && ($0["rank"]?.integer(as: Int.self) ?? 0 > 0) == keepsHalf
    }
  }

  /// The mean effective rank of a layer's heads.
  static func rank(_ layer: JSONValue, _ task: String) -> Double? {
    let ranks = (layer["states"]?[task]?.array ?? []).compactMap {
      $0["effective_rank"]?["mean"]?.double
    }
    return ranks.isEmpty ? nil : ranks.reduce(0, +) / Double(ranks.count)
  }
}
