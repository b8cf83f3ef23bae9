/// Bars beside each other: for every category one of each series.
public struct BarPlot: Sendable {
  /// The bars of a series.
  public struct Series: Sendable, Equatable {
    /// What the legend says.
    public var name: String
    /// Decides the color.
    public var index: Int
    /// A height for each category; nil for no bar.
    public var values: [Double?]
    /// Half the length of the error bar on each; empty for none.
    public var errors: [Double?]

    /// A series.
    public init(_ name: String, index: Int, _ values: [Double?], errors: [Double?] = []) {
      (self.name, self.index, self.values, self.errors) = (name, index, values, errors)
    }
  }

  /// The name of the figure's file.
  public var name: String
  /// What stands above it.
  public var title: String
  /// Names of the axes.
  public var axes: (x: String, y: String)
  /// What stands below the bars.
  public var categories: [String]
  /// What is drawn.
  public var series: [Series]
  /// Whether the heights are shares from 0 to 100 %.
  public var isShare = false

  /// A plot of bars from 0 up.
  public init(
    name: String, title: String, axes: (x: String, y: String), categories: [String],
    _ series: [Series]
  ) {
    (self.name, self.title, self.axes) = (name, title, axes)
    (self.categories, self.series) = (categories, series)
  }

  /// Draws the plot; nil without a bar.
  ///
  /// - Parameters:
  ///   - caption: what it shows.
  ///   - spread: what the error bars are; added to the caption where there are any.
  /// - Returns: the figure.
  public func figure(caption: String, spread: String? = nil) -> Figure? {
    let values = series.flatMap { $0.values.compactMap { $0 } }.filter(\.isFinite)
    guard !values.isEmpty else { return nil }
    let (width, top, bottom) = (Figure.standardWidth, 46.0, 246.0)
    let tops = series.flatMap { one in
      one.values.indices.flatMap { index in
        let (value, error) = (one.values[index] ?? 0, error(one, index) ?? 0)
        return value < 0 ? [value - error, value + error] : [value + error, max(value - error, 0)]
      }
    }
    let y =
      isShare
      ? Scale(.linear, 0...1, ends: (bottom, top), ticks: [0, 0.25, 0.5, 0.75, 1])
      : Scale(over: [0] + tops, ends: (bottom, top))
    let labels: PlotFrame.Labels = isShare ? .percent : .short
    let left = max(y.ticks.map { textWidth(labels.text($0)) }.max() ?? 0, 18) + 12
    let legend = PlotFrame.legend(
      series.count > 1 ? series.map { ($0.index, $0.name) } : [], y: bottom + 58, width: width)
    let frame = PlotFrame(
      size: (width, bottom + 44 + legend.height), left: left, right: width - 8, top: top,
      bottom: bottom)
    let place = (frame.right - left) / Double(categories.count)
    let hasErrors = series.contains { $0.errors.contains { $0?.isFinite ?? false } }
    var elements = PlotFrame.heading(title, axis: axes.y, width: width)
    elements += frame.verticalAxis(y, labels)
    for (index, one) in series.enumerated() {
      let bars = categories.indices.map { category in
        let group = left + place * Double(category)
        let wide = place * 0.8 / Double(series.count)
        return draw(one, category, x: group + place * 0.1 + wide * Double(index), wide, y)
      }
      elements.append(
        "<g class=\"\(Palette.seriesClass(one.index))\">\(bars.joined())</g>")
    }
    let marks = categories.enumerated().map { (x: left + place * (Double($0) + 0.5), text: $1) }
    elements += frame.horizontalAxis(marks, name: axes.x) + legend.elements
    return Figure(
      name: name, summary: "\(title): \(axes.y) by \(axes.x)",
      caption: Figure.caption(caption, hasErrors ? [.errorBar] : [], spread), width: width,
      height: frame.size.height, body: elements.joined(separator: "\n"))
  }

  private func error(_ series: Series, _ index: Int) -> Double? {
    index < series.errors.count ? series.errors[index] : nil
  }

  private func draw(
    _ series: Series, _ category: Int, x: Double, _ width: Double, _ scale: Scale
  ) -> String {
    guard let value = category < series.values.count ? series.values[category] : nil,
      value.isFinite
    else { return "" }
    let (base, top) = (scale.clamped(0), scale.clamped(value))
    let title = escaped("\(series.name), \(categories[category]): \(NumberText.short(value))")
    var element =
      "<rect class=\"fill\" x=\"\(coordinate(x))\" y=\"\(coordinate(min(base, top)))\""
      + " width=\"\(coordinate(max(width - 1, 0.5)))\" height=\"\(coordinate(abs(base - top)))\">"
      + "<title>\(title)</title></rect>"
    if let error = error(series, category), error.isFinite {
      let middle = coordinate(x + max(width - 1, 0.5) / 2)
      element +=
        "<path class=\"bar-error\" d=\"M\(middle) \(coordinate(scale.clamped(value - error)))"
        + "V\(coordinate(scale.clamped(value + error)))\"/>"
    }
    return element
  }
}
