import Charts
import LanguageModels

/// The recurrent state of every layer.
enum StateSection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let models = subjects.compactMap { subject in subject.run?.model.map { (subject, $0) } }
    let layers = models.map(\.1.layers.count).max() ?? 0
    let plot = BarPlot(
      name: "state-sizes", title: "Recurrent state by layer",
      axes: ("layer", "numbers a sequence"), categories: (0..<layers).map(String.init),
      models.map { subject, model in
        BarPlot.Series(
          subject.title, index: subject.index,
          model.layers.map { Double($0.recurrentStateCount) })
      })
    let figure = plot.figure(
      caption:
        "Numbers in the recurrent state of one sequence, layer by layer. A number takes four bytes."
    )
    let rows = models.map { subject, model in
      [
        subject.title, model.family.name, "\(model.layers.count)",
        shapes(model), NumberText.grouped(model.recurrentStateCount),
        NumberText.grouped(4 * model.recurrentStateCount),
        NumberText.grouped(model.layout().parameterCount),
      ]
    }
    let table = Page.Table(
      "The state of a sequence over all layers.",
      head: ["model", "family", "layers", "shapes", "numbers", "bytes", "parameters"], rows)
    return Page.Section("State", [.figures([figure].compactMap { $0 }), .table(table)])
  }

  /// The shapes of the layers' states with how many have them, in the order of the layers.
  private static func shapes(_ model: ModelConfiguration) -> String {
    var counts: [(shape: String, count: Int)] = []
    for shape in model.layers.map(\.stateShape) {
      if let index = counts.firstIndex(where: { $0.shape == shape }) {
        counts[index].count += 1
      } else {
        counts.append((shape, 1))
      }
    }
    return counts.map { "\($0.count) of \($0.shape)" }.joined(separator: ", ")
  }
}
