/// Series of points over a horizontal axis, joined by lines, with a band around each.
public struct LinePlot: Sendable {
  /// A point with what surrounds it.
  public struct Point: Sendable, Equatable {
    /// Where it is.
    public var (x, y): (Double, Double)
    /// The band here; nil for none.
    public var band: ClosedRange<Double>?

    /// A point; one whose `y` is not finite interrupts the line and is marked at the upper edge.
    public init(x: Double, y: Double, band: ClosedRange<Double>? = nil) {
      (self.x, self.y, self.band) = (x, y, band)
    }
  }

  /// The points of a series, in ascending order of `x`.
  public struct Series: Sendable, Equatable {
    /// What stands beside it.
    public var name: String
    /// Decides color, dash and marker.
    public var index: Int
    /// Ascending in `x`.
    public var points: [Point]
    /// Where points are missing: the line is interrupted there, and the area shaded.
    public var gaps: [ClosedRange<Double>] = []

    /// A series.
    public init(_ name: String, index: Int, _ points: [Point], gaps: [ClosedRange<Double>] = []) {
      (self.name, self.index, self.points, self.gaps) = (name, index, points, gaps)
    }

    /// Stretches of points that a line joins.
    func runs(_ isDrawn: (Point) -> Bool) -> [ArraySlice<Point>] {
      points.split { !isDrawn($0) }.flatMap { run -> [ArraySlice<Point>] in
        var (runs, start) = ([ArraySlice<Point>](), run.startIndex)
        for index in run.indices.dropFirst() {
          let (from, to) = (run[index - 1].x, run[index].x)
          guard gaps.contains(where: { from <= $0.lowerBound && to >= $0.upperBound }) else {
            continue
          }
          runs.append(run[start..<index])
          start = index
        }
        return runs + [run[start...]]
      }
    }
  }

  /// The name of the figure's file.
  public var name: String
  /// What stands above it.
  public var title: String
  /// Names of the axes.
  public var axes: (x: String, y: String)
  /// What is drawn.
  public var series: [Series]
  /// How the axes' places follow values.
  public var kinds: (x: Scale.Kind, y: Scale.Kind) = (.linear, .linear)
  /// Whether the vertical axis shows shares from 0 to 100 %.
  public var isShare = false
  /// Whole numbers that the horizontal axis marks; nil chooses.
  public var marks: [Double]?
  /// Whether every point has a marker.
  public var hasMarkers = false
  /// Heights of dotted lines, for example of guessing.
  public var rules: [(name: String, y: Double)] = []

  /// A plot of series.
  public init(name: String, title: String, axes: (x: String, y: String), _ series: [Series]) {
    (self.name, self.title, self.axes, self.series) = (name, title, axes, series)
  }

  /// Draws the plot; nil where no series has a point.
  ///
  /// - Parameters:
  ///   - caption: what it shows.
  ///   - spread: what bands and error bars are; added to the caption where there are any.
  /// - Returns: the figure.
  public func figure(caption: String, spread: String? = nil) -> Figure? {
    let drawn = series.filter { !$0.points.isEmpty }
    guard !drawn.isEmpty else { return nil }
    let layout = Layout(self, drawn)
    let frame = layout.frame
    var elements = PlotFrame.heading(title, axis: axes.y, width: frame.size.width)
    elements += frame.verticalAxis(layout.y, layout.yLabels)
    elements += frame.horizontalAxis(layout.x, marks == nil ? .short : .whole, name: axes.x)
    for rule in rules {
      let y = coordinate(layout.y.clamped(rule.y))
      elements.append(
        "<path class=\"rule\" d=\"M\(coordinate(frame.left)) \(y)H\(coordinate(frame.right))\">"
          + "<title>\(escaped(rule.name))</title></path>")
    }
    elements += drawn.map { draw($0, layout) }
    elements += layout.hasLegend ? layout.legend : labels(drawn, layout)
    return Figure(
      name: name, summary: "\(title): \(axes.y) over \(axes.x)",
      caption: Figure.caption(caption, marks(drawn, layout), spread),
      width: frame.size.width, height: frame.size.height,
      body: elements.joined(separator: "\n"))
  }

  // MARK: Sizes

  /// Where everything lies.
  struct Layout {
    let frame: PlotFrame
    let (x, y): (Scale, Scale)
    let yLabels: PlotFrame.Labels
    let hasLegend: Bool
    let legend: [String]

    init(_ plot: LinePlot, _ drawn: [Series]) {
      let width = Figure.standardWidth
      let points = drawn.flatMap(\.points)
      hasLegend = drawn.count > 6 || drawn.contains { $0.name.count > 16 }
      let (top, bottom) = (46.0, 246.0)
      let values =
        points.flatMap { [$0.y, $0.band?.lowerBound ?? $0.y, $0.band?.upperBound ?? $0.y] }
      let yLabels: PlotFrame.Labels = plot.isShare ? .percent : .short
      let y =
        plot.isShare
        ? Scale(.linear, 0...1, ends: (bottom, top), ticks: [0, 0.25, 0.5, 0.75, 1])
        : Scale(over: values, plot.kinds.y, ends: (bottom, top))
      let labels = y.ticks.map { textWidth(yLabels.text($0)) }.max() ?? 0
      (self.y, self.yLabels) = (y, yLabels)
      let names = hasLegend ? 8 : (drawn.map { textWidth($0.name) * 1.06 }.max() ?? 0) + 14
      let (left, right) = (max(labels, 18) + 12, width - max(names, 12))
      let places = Scale(
        over: Self.places(points, plot.kinds.x), plot.kinds.x, ends: (left, right), ticks: 6,
        isTight: true)
      x = Scale(places.kind, places.domain, ends: places.ends, ticks: plot.marks ?? places.ticks)
      let legend = PlotFrame.legend(
        hasLegend ? drawn.map { ($0.index, $0.name) } : [], y: bottom + 58, width: width)
      self.legend = legend.elements
      frame = PlotFrame(
        size: (width, bottom + 44 + legend.height), left: left, right: right, top: top,
        bottom: bottom)
    }

    /// The points' places, with 0 where a linear axis begins next to it.
    private static func places(_ points: [Point], _ kind: Scale.Kind) -> [Double] {
      let places = points.map(\.x).filter(\.isFinite)
      guard kind == .linear, let low = places.min(), let high = places.max(), low > 0,
        low < high / 5
      else { return places }
      return [0] + places
    }
  }

  // MARK: Drawing

  private func draw(_ series: Series, _ layout: Layout) -> String {
    var elements = series.gaps.map { gap in
      let (left, right) = (layout.x.clamped(gap.lowerBound), layout.x.clamped(gap.upperBound))
      return "<path class=\"gap fill\" d=\"M\(coordinate(left)) \(coordinate(layout.frame.top))"
        + "H\(coordinate(right))V\(coordinate(layout.frame.bottom))H\(coordinate(left))Z\">"
        + "<title>\(escaped(series.name)): missing</title></path>"
    }
    let runs = runs(series, layout)
    for run in runs {
      elements += band(run, layout)
      let places = run.map { place($0, layout) }
      if places.count > 1 {
        elements.append(
          "<path class=\"\(hasMarkers ? "line dashed" : "line") stroke\" d=\"M\(places.joined(separator: "L"))\"/>"
        )
      }
    }
    let shown = runs.flatMap { run in hasMarkers || run.count == 1 ? Array(run) : [] }
    for point in shown {
      elements.append(
        Palette.marker(
          series.index, x: layout.x.position(point.x), y: layout.y.clamped(point.y)))
    }
    for point in series.points where !point.y.isFinite {
      let x = coordinate(layout.x.position(point.x))
      elements.append(
        "<path class=\"lost\" d=\"M\(x) \(coordinate(layout.frame.top - 4))v8\">"
          + "<title>\(escaped(series.name)): not finite</title></path>")
    }
    return "<g class=\"\(Palette.seriesClass(series.index))\">" + elements.joined() + "</g>"
  }

  /// The stretches of a series that have a place.
  private func runs(_ series: Series, _ layout: Layout) -> [ArraySlice<Point>] {
    series.runs { $0.y.isFinite && (layout.x.kind == .linear || $0.x > 0) }
  }

  /// How the surroundings of some points are drawn.
  private func mark(_ run: ArraySlice<Point>) -> Figure.SpreadMark? {
    let count = run.count { $0.band != nil }
    return count == 0 ? nil : count == 1 || hasMarkers && series.count > 4 ? .errorBar : .band
  }

  /// How the surroundings of all points are drawn.
  private func marks(_ drawn: [Series], _ layout: Layout) -> [Figure.SpreadMark] {
    drawn.flatMap { runs($0, layout).compactMap(mark) }
  }

  private func place(_ point: Point, _ layout: Layout) -> String {
    "\(coordinate(layout.x.position(point.x))) \(coordinate(layout.y.clamped(point.y)))"
  }

  /// The area between the bands' ends; bars where a point stands alone, and where areas would hide each other.
  private func band(_ run: ArraySlice<Point>, _ layout: Layout) -> [String] {
    let edges = run.compactMap { point in
      point.band.map { band in
        (
          x: coordinate(layout.x.position(point.x)),
          low: coordinate(layout.y.clamped(band.lowerBound)),
          high: coordinate(layout.y.clamped(band.upperBound))
        )
      }
    }
    guard let mark = mark(run) else { return [] }
    if mark == .errorBar {
      return edges.map { "<path class=\"error stroke\" d=\"M\($0.x) \($0.low)V\($0.high)\"/>" }
    }
    let outline =
      edges.map { "\($0.x) \($0.high)" } + edges.reversed().map { "\($0.x) \($0.low)" }
    return ["<path class=\"band fill\" d=\"M\(outline.joined(separator: "L"))Z\"/>"]
  }

  /// Names at the right edge, beside the ends of their lines.
  private func labels(_ drawn: [Series], _ layout: Layout) -> [String] {
    let ends = drawn.map { series in series.points.last { $0.y.isFinite } }
    let wanted = ends.map { $0.map { layout.y.clamped($0.y) } ?? layout.frame.top }
    let heights = spread(wanted, gap: 14, within: layout.frame.top...layout.frame.bottom)
    return drawn.indices.map { index in
      let series = drawn[index]
      let right = layout.frame.right
      var elements = ""
      if let end = ends[index] {
        let x = layout.x.position(end.x)
        if right - x > 12 || abs(heights[index] - wanted[index]) > 6 {
          elements =
            "<path class=\"leader stroke\" d=\"M\(coordinate(x)) \(coordinate(wanted[index]))"
            + "L\(coordinate(right + 7)) \(coordinate(heights[index]))\"/>"
        }
      }
      let text = PlotFrame.text(
        series.name, class: "label fill", x: right + 9, y: heights[index] + 4)
      return "<g class=\"\(Palette.seriesClass(series.index))\">\(elements)\(text)</g>"
    }
  }
}
