/// A table of shares as colored cells, with each cell's value where it has room.
public struct HeatMap: Sendable {
  /// The name of the figure's file.
  public var name: String
  /// What stands above it.
  public var title: String
  /// Names of the axes.
  public var axes: (x: String, y: String)
  /// Names of columns and rows; rows from top to bottom.
  public var (columns, rows): ([String], [String])
  /// Shares by row, then column; nil where there is none.
  public var cells: [[Double?]]

  /// A heat map.
  ///
  /// - Precondition: `cells` has a list for every row, with an element for every column.
  public init(
    name: String, title: String, axes: (x: String, y: String), columns: [String], rows: [String],
    _ cells: [[Double?]]
  ) {
    precondition(
      cells.count == rows.count && cells.allSatisfy { $0.count == columns.count },
      "a heat map needs a cell for every row and column")
    (self.name, self.title, self.axes) = (name, title, axes)
    (self.columns, self.rows, self.cells) = (columns, rows, cells)
  }

  /// Draws the map; nil without rows or columns.
  public func figure(caption: String) -> Figure? {
    guard !rows.isEmpty, !columns.isEmpty else { return nil }
    let width = Figure.standardWidth
    let left = (rows.map(textWidth).max() ?? 0) + 14
    let cell = (width: min((width - left - 8) / Double(columns.count), 72), height: 20.0)
    let right = left + cell.width * Double(columns.count)
    let bottom = 46 + cell.height * Double(rows.count)
    let frame = PlotFrame(
      size: (width, bottom + 78), left: left, right: right, top: 46, bottom: bottom)
    var elements = PlotFrame.heading(title, axis: axes.y, width: width)
    for (row, name) in rows.enumerated() {
      let y = frame.top + cell.height * Double(row)
      elements.append(
        PlotFrame.text(name, class: "axis", x: left - 6, y: y + 14, anchor: "end"))
      for column in columns.indices {
        let x = left + cell.width * Double(column)
        elements.append(draw(cells[row][column], x, y, cell, "\(columns[column]), \(name)"))
      }
    }
    let marks = columns.enumerated().map { index, name in
      (x: left + cell.width * (Double(index) + 0.5), text: name)
    }
    elements += frame.horizontalAxis(marks, name: axes.x)
    elements += Self.key(left: left, y: bottom + 52)
    return Figure(
      name: name, summary: "\(title): \(axes.y) by \(axes.x)", caption: caption, width: width,
      height: frame.size.height, body: elements.joined(separator: "\n"))
  }

  private func draw(
    _ share: Double?, _ x: Double, _ y: Double, _ cell: (width: Double, height: Double),
    _ name: String
  ) -> String {
    let box =
      "x=\"\(coordinate(x))\" y=\"\(coordinate(y))\" width=\"\(coordinate(cell.width - 1))\""
      + " height=\"\(coordinate(cell.height - 1))\""
    guard let share, share.isFinite else { return "<rect class=\"missing\" \(box)/>" }
    let color = ColorRamp.color(share)
    let title = "<title>\(escaped(name)): \(NumberText.percent(share)) %</title>"
    var element = "<rect fill=\"\(color.hex)\" \(box)>\(title)</rect>"
    if cell.width >= 26 {
      element += PlotFrame.text(
        NumberText.fixed(100 * share, 0),
        class: "cell-text \(color.isDark ? "on-dark" : "on-light")",
        x: x + (cell.width - 1) / 2, y: y + 14, anchor: "middle")
    }
    return element
  }

  /// The ramp with its ends.
  private static func key(left: Double, y: Double) -> [String] {
    let step = 6.0
    let boxes = (0...20).map { index in
      "<rect fill=\"\(ColorRamp.color(Double(index) / 20).hex)\" x=\"\(coordinate(left + 30 + step * Double(index)))\""
        + " y=\"\(coordinate(y))\" width=\"\(coordinate(step))\" height=\"10\"/>"
    }
    return [PlotFrame.text("0 %", class: "axis", x: left, y: y + 10)] + boxes
      + [PlotFrame.text("100 %", class: "axis", x: left + 36 + step * 21, y: y + 10)]
  }
}

/// Colors from 0 to 1 that grow evenly in lightness, after the map `cividis`: the same to readers with and
/// without color blindness, and ordered in gray.
enum ColorRamp {
  private static let stops: [(Double, Double, Double)] = [
    (0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115), (138, 134, 120),
    (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56),
  ]

  /// The color of a share, and whether text on it has to be light.
  static func color(_ share: Double) -> (hex: String, isDark: Bool) {
    let place = min(max(share, 0), 1) * Double(stops.count - 1)
    let first = min(Int(place), stops.count - 2)
    let part = place - Double(first)
    func mix(_ a: Double, _ b: Double) -> Int { Int((a + (b - a) * part).rounded()) }
    let (a, b) = (stops[first], stops[first + 1])
    let parts = [mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2)]
    let hex = parts.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    let luminance = 0.299 * Double(parts[0]) + 0.587 * Double(parts[1]) + 0.114 * Double(parts[2])
    return ("#" + hex, luminance < 118)
  }
}
