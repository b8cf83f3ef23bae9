import Charts
import Evaluation

/// Differences from the first model on the same samples, where logs of samples were given.
enum DifferenceSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let logged = subjects.filter { $0.log != nil }
    guard let first = logged.first, let base = first.log else { return Page.Section("", []) }
    let keys = base.values.map { $0.key }.filter { key in
      // One length says what the whole says.
      key.depth == nil && (key.length == nil || base.lengths(of: key).count > 1)
    }
    var (compared, refused) = ([Compared](), [[String]]())
    for subject in logged.dropFirst() {
      guard let log = subject.log else { continue }
      do throws(ReportError) {
        let found = try PairedDifferences(of: log, from: base, keys, seed: 0)
        if !found.values.isEmpty {
          compared.append(Compared(subject: subject, values: found.values))
        }
      } catch {
        refused.append([subject.title, error.reason])
      }
    }
    let known = keys.filter { key in compared.contains { $0.values[key] != nil } }
    let refusals = Page.Table(
      "Logs of samples that have no pairs in that of \(first.title).",
      head: ["model", "why"], refused, isNumeric: false)
    return Page.Section(
      "Differences on the same samples",
      [
        .figures(figures(known, compared, first)), .table(table(known, compared, first)),
        .table(refusals),
      ])
  }

  /// A model with its differences from the first.
  private struct Compared {
    let subject: ReportSubject
    let values: [MeasuredKey: PairedDifferences.Difference]
  }

  private static let interval =
    "95 % of the means of \(NumberText.grouped(Bootstrap.rounds)) bootstrap samples"

  // MARK: Figures

  /// A figure of all shares, and one of each other metric, which has a unit of its own.
  private static func figures(
    _ keys: [MeasuredKey], _ compared: [Compared], _ first: ReportSubject
  ) -> [Figure] {
    let whole = keys.filter(\.isWhole)
    var metrics: [String] = []
    for key in whole where !key.isShare && !metrics.contains(key.metric) {
      metrics.append(key.metric)
    }
    let others = metrics.map { metric in
      figure(
        whole.filter { $0.metric == metric }, compared, first, name: "differences-\(slug(metric))",
        unit: metric == "nll" ? "nats" : metric, factor: 1)
    }
    let shares = figure(
      whole.filter(\.isShare), compared, first, name: "differences", unit: "points", factor: 100)
    return ([shares] + others).compactMap { $0 }
  }

  private static func figure(
    _ keys: [MeasuredKey], _ compared: [Compared], _ first: ReportSubject, name: String,
    unit: String, factor: Double
  ) -> Figure? {
    var plot = DotPlot(
      name: name, title: "Differences from \(first.title) in \(unit)",
      axis: "\(unit) above \(first.title), same samples", rows: keys.map(\.label),
      compared.map { one in
        DotPlot.Series(
          one.subject.title, index: one.subject.index,
          keys.map { key in
            one.values[key].map { difference in
              let interval = difference.interval
              return DotPlot.Value(
                difference.mean * factor,
                range: interval.lowerBound * factor...interval.upperBound * factor)
            }
          })
      })
    plot.hasZero = true
    return plot.figure(
      caption: "Mean differences from \(first.title) over the samples that both have"
        + (unit == "points" ? ", in percentage points." : ", in \(unit): less is better."),
      spread: interval)
  }

  // MARK: Table

  private static func table(
    _ keys: [MeasuredKey], _ compared: [Compared], _ first: ReportSubject
  ) -> Page.Table {
    let rows = keys.map { key in
      [key.label + (key.isShare ? " (points)" : "")]
        + compared.flatMap { one -> [String] in
          guard let difference = one.values[key] else { return ["-", "-", "-"] }
          let ends = [difference.interval.lowerBound, difference.interval.upperBound]
          return [
            "\(signed(difference.mean, key)) \u{B1} \(number(difference.standardError, key))",
            "[" + ends.map { signed($0, key) }.joined(separator: ",\u{A0}") + "]",
            NumberText.grouped(difference.samples),
          ]
        }
    }
    return Page.Table(
      "Differences from \(first.title) over the samples that both have: the mean with its standard error, the "
        + "interval that holds \(interval), and the number of samples.",
      head: ["measurement"] + compared.flatMap { [$0.subject.title, "95 % interval", "samples"] },
      rows)
  }

  private static func number(_ value: Double, _ key: MeasuredKey) -> String {
    key.isShare ? NumberText.percent(value) : NumberText.fixed(value, 4)
  }

  private static func signed(_ value: Double, _ key: MeasuredKey) -> String {
    let text = number(value, key)
    return value < 0 ? text : "+" + text
  }
}
