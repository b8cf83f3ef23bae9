import Charts

/// A page about runs and evaluations, with its figures.
package struct Report {
  /// The page.
  package let page: Page

  /// Reads runs and evaluations and lays out what they say.
  ///
  /// The page depends on the inputs alone: the same files give the same bytes.
  ///
  /// - Parameters:
  ///   - arguments: PATH or NAME=PATH each; those of one NAME belong together.
  ///   - title: the page's title; nil names the subjects.
  /// - Throws: `ReportError`, `FileError`, and what reading the parts of a run throws.
  package init(_ arguments: [String], title: String? = nil) throws {
    let inputs = try ReportInputs(arguments)
    let subjects = inputs.subjects
    let names =
      subjects.map(\.title) + inputs.experiments.map { _ in "The experiment at small scale" }
    page = Page(
      title: title ?? names.joined(separator: ", "), subtitle: Self.subtitle(inputs),
      inputs.experiments.flatMap(ReproductionSection.sections)
        + [
          SummarySection.section(subjects), RecallSection.section(subjects),
          DifferenceSection.section(subjects),
          NeedleSection.section(subjects), ProgressSection.section(subjects),
          TrainingSection.section(subjects), StateSection.section(subjects),
          ProbeSection.section(subjects),
          RecipeSection.section(subjects), EnvironmentSection.section(subjects),
        ])
    guard !page.sections.isEmpty else {
      throw ReportError.data(arguments.joined(separator: ", "), "nothing to report is in it yet")
    }
  }

  private static func subtitle(_ inputs: ReportInputs) -> String {
    let counts = [
      (inputs.experiments.count, "experiment"),
      (inputs.subjects.filter { $0.run != nil }.count, "run"),
      (inputs.subjects.filter { $0.measured != nil }.count, "evaluation"),
      (inputs.subjects.filter { $0.probe != nil }.count, "probe"),
    ]
    let parts = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }
    return "A report of statex: " + parts.joined(separator: ", ")
  }
}

extension MeasuredKey {
  /// What a number is called in tables and figures; shares without their unit.
  var label: String {
    if task == "perplexity", metric == "nll" { return "text loss (nats)" }
    var text = "\(task) \(metric)"
    if let length { text += ", \(NumberText.grouped(length)) tokens" }
    if let group { text += ", \(group)" }
    return text
  }
}

extension MeasuredValue {
  /// The number with its standard error, in percent where it is a share.
  func text(_ key: MeasuredKey) -> String {
    func number(_ value: Double) -> String {
      key.isShare ? NumberText.percent(value) : NumberText.fixed(value, 4)
    }
    guard value.isFinite else { return "-" }
    return number(value) + (standardError.map { " \u{B1} " + number($0) } ?? "")
  }

  /// A standard error to either side; nil where there is none.
  var band: ClosedRange<Double>? { spread(around: value, standardError) }
}
