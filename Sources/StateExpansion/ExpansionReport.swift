import LanguageModels
import Layers

/// What an expansion does to a model's state and parameters, computed from configurations alone.
public struct ExpansionReport: Sendable, Equatable {
  /// One expanded layer, before and after.
  public struct Layer: Sendable, Equatable {
    /// Which layer, counted from 0.
    public let index: Int
    /// The state's shape, for example `4 x 256 x 512`.
    public let shapeBefore: String
    /// The same after the expansion.
    public let shapeAfter: String
    /// Numbers in one sequence's recurrent state.
    public let stateBefore: Int
    /// The same after the expansion.
    public let stateAfter: Int
    /// Parameters of the whole block.
    public let parametersBefore: Int
    /// The same after the expansion.
    public let parametersAfter: Int
  }

  /// The expanded layers in ascending order.
  public let layers: [Layer]
  /// Layers of the model.
  public let layerCount: Int
  /// Numbers in one sequence's recurrent state, all layers.
  public let stateBefore: Int
  /// The same after the expansion.
  public let stateAfter: Int
  /// Parameters of the model.
  public let parametersBefore: Int
  /// The same after the expansion.
  public let parametersAfter: Int
  /// New parameters in tensors of two or more dimensions: projections and convolutions.
  public let newMatrixParameters: Int
  /// What to know before using the result.
  public let warnings: [String]
  /// New parameters in vectors: norm weights and biases.
  public var newVectorParameters: Int {
    parametersAfter - parametersBefore - newMatrixParameters
  }

  /// Reports what a plan would do to a model.
  ///
  /// - Throws: `ExpansionError` when the plan does not fit.
  public init(
    of plan: ExpansionPlan, applyingTo configuration: ModelConfiguration
  ) throws(ExpansionError) {
    let expanded = try plan.configuration(expanding: configuration)
    let indices = try plan.layers.indices(layerCount: configuration.layers.count)
    layers = indices.map { index in
      let (before, after) = (configuration.layers[index], expanded.layers[index])
      return Layer(
        index: index, shapeBefore: before.stateShape, shapeAfter: after.stateShape,
        stateBefore: before.recurrentStateCount, stateAfter: after.recurrentStateCount,
        parametersBefore: before.parameterCount { _ in true },
        parametersAfter: after.parameterCount { _ in true })
    }
    layerCount = configuration.layers.count
    stateBefore = configuration.recurrentStateCount
    stateAfter = expanded.recurrentStateCount
    parametersBefore = configuration.layout().parameterCount
    parametersAfter = expanded.layout().parameterCount
    warnings = try configuration.family.expandable.warnings(plan)
    newMatrixParameters = indices.reduce(0) { sum, index in
      sum + expanded.layers[index].parameterCount { $0.count >= 2 }
        - configuration.layers[index].parameterCount { $0.count >= 2 }
    }
  }
}

extension LayerConfiguration {
  /// Parameters in the tensors whose shape is counted.
  fileprivate func parameterCount(where isCounted: ([Int]) -> Bool) -> Int {
    parameters(prefix: "", initialization: ScratchInitialization())
      .filter { isCounted($0.shape) }
      .reduce(0) { $0 + $1.shape.reduce(1, *) }
  }
}

extension ExpansionReport: CustomStringConvertible {
  /// An aligned table: the expanded layers, the others together, and the totals; then warnings.
  public var description: String {
    var rows = [["layer", "state before", "after", "numbers before", "after", "x"]]
    for layer in layers {
      rows.append([
        "\(layer.index)", layer.shapeBefore, layer.shapeAfter, Self.grouped(layer.stateBefore),
        Self.grouped(layer.stateAfter), Self.ratio(layer.stateAfter, layer.stateBefore),
      ])
    }
    let others = layerCount - layers.count
    if others > 0 {
      let count = stateBefore - layers.reduce(0) { $0 + $1.stateBefore }
      rows.append([
        "\(others) other\(others == 1 ? "" : "s")", "", "", Self.grouped(count),
        Self.grouped(count), "1.00",
      ])
    }
    rows.append([
      "total", "", "", Self.grouped(stateBefore), Self.grouped(stateAfter),
      Self.ratio(stateAfter, stateBefore),
    ])
    let notes = warnings.map { "\nwarning: " + $0 }.joined()
    return Self.table(rows) + "\n" + summary + notes
  }

  /// The totals in two lines.
  public var summary: String {
    let isLarge = max(parametersBefore, parametersAfter) >= 1_000_000
    let millions =
      isLarge ? " (\(Self.short(parametersBefore)) -> \(Self.short(parametersAfter)))" : ""
    return """
      recurrent state: \(Self.short(stateBefore)) -> \(Self.short(stateAfter)) numbers a sequence
      parameters: \(Self.grouped(parametersBefore)) -> \(Self.grouped(parametersAfter))\(millions); \
      \(newMatrixParameters == 0
        ? "no new projection parameter"
        : "\(Self.grouped(newMatrixParameters)) new projection parameters"), \
      \(Self.grouped(newVectorParameters)) new norm weights and biases
      """
  }

  private static func table(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in
      rows.map { $0[column].count }.max() ?? 0
    }
    return rows.map { row in
      zip(row, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  /// `12,582,912`.
  private static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    let groups = stride(from: digits.count, to: 0, by: -3).map { end in
      String(digits[max(end - 3, 0)..<end])
    }
    return (value < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
  }

  /// `12.58 M`, rounded to the nearest hundredth, or all digits below a million.
  private static func short(_ value: Int) -> String {
    value < 1_000_000 ? grouped(value) : hundredths((value + 5000) / 10_000) + " M"
  }

  private static func ratio(_ after: Int, _ before: Int) -> String {
    hundredths((after * 100 + before / 2) / max(before, 1))
  }

  private static func hundredths(_ value: Int) -> String {
    let fraction = value % 100
    return "\(grouped(value / 100)).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
