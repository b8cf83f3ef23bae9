/// Numbers with their errors as points in rows: one row for each thing, its name at the left.
public struct DotPlot: Sendable {
  /// A number with what surrounds it.
  public struct Value: Sendable, Equatable {
    /// The number.
    public var value: Double
    /// The ends of its error bar; nil for none.
    public var range: ClosedRange<Double>?

    /// A number.
    public init(_ value: Double, range: ClosedRange<Double>? = nil) {
      (self.value, self.range) = (value, range)
    }

    /// A number with a bar of that length to either side.
    public init(_ value: Double, error: Double?) {
      self.init(value, range: spread(around: value, error))
    }
  }

  /// The numbers of a series.
  public struct Series: Sendable, Equatable {
    /// What the legend says.
    public var name: String
    /// Decides color and marker.
    public var index: Int
    /// A number for each row; nil for none.
    public var values: [Value?]

    /// A series.
    public init(_ name: String, index: Int, _ values: [Value?]) {
      (self.name, self.index, self.values) = (name, index, values)
    }
  }

  /// The name of the figure's file.
  public var name: String
  /// What stands above it.
  public var title: String
  /// The name of the horizontal axis.
  public var axis: String
  /// What stands at the left of the rows.
  public var rows: [String]
  /// What is drawn.
  public var series: [Series]
  /// Whether the numbers are shares from 0 to 100 %.
  public var isShare = false
  /// Whether 0 is on the axis, with a line.
  public var hasZero = false

  /// A plot.
  public init(name: String, title: String, axis: String, rows: [String], _ series: [Series]) {
    (self.name, self.title, self.axis, self.rows, self.series) = (name, title, axis, rows, series)
  }

  /// Draws the plot; nil without a number.
  ///
  /// - Parameters:
  ///   - caption: what it shows.
  ///   - spread: what the error bars are; added to the caption where there are any.
  /// - Returns: the figure.
  public func figure(caption: String, spread: String? = nil) -> Figure? {
    let finite = series.flatMap { $0.values.compactMap { $0 } }.filter(\.value.isFinite)
    guard !finite.isEmpty else { return nil }
    let width = Figure.standardWidth
    let names = rows.map { shortened($0, to: 30) }
    let left = (names.map(textWidth).max() ?? 0) + 16
    let (top, height) = (34.0, max(22, 11 * Double(series.count) + 9))
    let bottom = top + height * Double(rows.count)
    let ends = (left + 6, width - 22)
    let bars = finite.compactMap(\.range)
    let reach = finite.map(\.value) + bars.flatMap { [$0.lowerBound, $0.upperBound] }
    let x =
      isShare
      ? Scale(.linear, 0...1, ends: ends, ticks: [0, 0.25, 0.5, 0.75, 1])
      : Scale(over: reach + (hasZero ? [0] : []), ends: ends)
    let legend = PlotFrame.legend(
      series.count > 1 ? series.map { ($0.index, $0.name) } : [], y: bottom + 58, width: width)
    let frame = PlotFrame(
      size: (width, bottom + 44 + legend.height), left: left, right: width - 8, top: top,
      bottom: bottom)
    var elements = Array(PlotFrame.heading(title, axis: "", width: width).prefix(1))
    elements += rowElements(names, frame, height)
    if hasZero {
      elements.append(
        "<path class=\"rule\" d=\"M\(coordinate(x.position(0))) \(coordinate(top))V\(coordinate(bottom))\"/>"
      )
    }
    elements += series.enumerated().map { place, one in
      let values = rows.indices.map { row in
        let step = height / Double(series.count + 1)
        let y = top + height * Double(row) + step * Double(place + 1)
        return draw(one, row, y: y, x)
      }
      return "<g class=\"\(Palette.seriesClass(one.index))\">\(values.joined())</g>"
    }
    elements += frame.horizontalAxis(x, isShare ? .percent : .short, name: axis) + legend.elements
    return Figure(
      name: name, summary: "\(title): \(axis)",
      caption: Figure.caption(caption, bars.isEmpty ? [] : [.errorBar], spread), width: width,
      height: frame.size.height, body: elements.joined(separator: "\n"))
  }

  private func rowElements(_ names: [String], _ frame: PlotFrame, _ height: Double) -> [String] {
    names.enumerated().map { row, name in
      let y = frame.top + height * Double(row)
      return "<path class=\"grid\" d=\"M\(coordinate(frame.left)) \(coordinate(y))"
        + "H\(coordinate(frame.right))\"/>"
        + PlotFrame.text(
          name, class: "axis", x: frame.left - 8, y: y + height / 2 + 4, anchor: "end")
    }
  }

  private func draw(_ series: Series, _ row: Int, y: Double, _ scale: Scale) -> String {
    guard let value = row < series.values.count ? series.values[row] : nil, value.value.isFinite
    else { return "" }
    var element = ""
    if let range = value.range {
      element =
        "<path class=\"error stroke\" d=\"M\(coordinate(scale.clamped(range.lowerBound))) "
        + "\(coordinate(y))H\(coordinate(scale.clamped(range.upperBound)))\"/>"
    }
    let text = isShare ? NumberText.percent(value.value) + " %" : NumberText.short(value.value)
    let marker = Palette.marker(series.index, x: scale.clamped(value.value), y: y)
    let title = escaped("\(series.name), \(rows[row]): \(text)")
    return "<g><title>\(title)</title>\(element)\(marker)</g>"
  }
}
