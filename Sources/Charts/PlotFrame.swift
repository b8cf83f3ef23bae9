/// The part of a figure around its data: title, axes with marks, and the area between them.
struct PlotFrame {
  /// How the values of an axis are written.
  enum Labels: Sendable, Equatable {
    case short
    /// Whole numbers, all digits.
    case whole
    /// Shares in percent.
    case percent

    func text(_ value: Double) -> String {
      switch self {
      case .short: NumberText.short(value, digits: 4)
      case .whole: NumberText.grouped(value.rounded(.towardZero))
      case .percent: "\(NumberText.short(100 * value, digits: 4)) %"
      }
    }
  }

  let size: (width: Double, height: Double)
  /// Edges of the area.
  let (left, right, top, bottom): (Double, Double, Double, Double)

  /// The title and the name of the vertical axis.
  ///
  /// - Parameters:
  ///   - title: above the figure.
  ///   - axis: the name of the vertical axis, below the title.
  ///   - width: the figure's.
  /// - Returns: the elements.
  static func heading(_ title: String, axis: String, width: Double) -> [String] {
    let most = Int(width / 7.4)
    return [
      text(title, class: "title", x: 4, y: 16, limit: most),
      text(axis, class: "axis", x: 4, y: 33, limit: most),
    ]
  }

  /// Lines across at the marks of the vertical axis, with their values.
  func verticalAxis(_ scale: Scale, _ labels: Labels) -> [String] {
    scale.ticks.map { tick in
      let y = scale.position(tick)
      return
        "<path class=\"grid\" d=\"M\(coordinate(left)) \(coordinate(y))H\(coordinate(right))\"/>"
        + Self.text(labels.text(tick), class: "axis", x: left - 6, y: y + 4, anchor: "end")
    }
  }

  /// Marks and values below, as many as fit beside each other, and the axis' name.
  func horizontalAxis(_ scale: Scale, _ labels: Labels, name: String) -> [String] {
    horizontalAxis(scale.ticks.map { (scale.position($0), labels.text($0)) }, name: name)
  }

  /// The same with marks at places.
  func horizontalAxis(_ marks: [(x: Double, text: String)], name: String) -> [String] {
    var elements = [
      "<path class=\"grid\" d=\"M\(coordinate(left)) \(coordinate(bottom))H\(coordinate(right))\"/>"
    ]
    var free = -Double.infinity
    for mark in marks {
      let half = textWidth(mark.text) / 2
      guard mark.x - half >= free else { continue }
      free = mark.x + half + 8
      elements.append(
        "<path class=\"grid\" d=\"M\(coordinate(mark.x)) \(coordinate(bottom))v4\"/>"
          + Self.text(mark.text, class: "axis", x: mark.x, y: bottom + 18, anchor: "middle"))
    }
    elements.append(
      Self.text(name, class: "axis", x: (left + right) / 2, y: bottom + 36, anchor: "middle"))
    return elements
  }

  /// A text, shortened where it is longer than `limit` characters.
  static func text(
    _ text: String, class kind: String, x: Double, y: Double, anchor: String? = nil,
    limit: Int = 60
  ) -> String {
    let anchor = anchor.map { " text-anchor=\"\($0)\"" } ?? ""
    return "<text class=\"\(kind)\" x=\"\(coordinate(x))\" y=\"\(coordinate(y))\"\(anchor)>"
      + "\(escaped(shortened(text, to: limit)))</text>"
  }

  /// The names of series with their markers, in rows of that width.
  ///
  /// - Returns: the elements, and the height of all rows.
  static func legend(
    _ names: [(index: Int, name: String)], y: Double, width: Double
  ) -> (elements: [String], height: Double) {
    var (x, row, elements) = (8.0, 0.0, [String]())
    for (index, name) in names {
      let shown = shortened(name, to: 40)
      let wide = 14 + textWidth(shown) + 14
      if x > 8, x + wide > width { (x, row) = (8, row + 18) }
      elements.append(
        "<g class=\"\(Palette.seriesClass(index))\">"
          + Palette.marker(index, x: x + 4, y: y + row - 4)
          + text(shown, class: "label fill", x: x + 13, y: y + row) + "</g>")
      x += wide
    }
    return (elements, names.isEmpty ? 0 : row + 18)
  }
}
