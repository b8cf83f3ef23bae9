/// Colors, dashes and markers of series, and the style sheet of figures.
///
/// The hues follow Okabe and Ito's set, which stays distinct under the usual color blindness, with lightness
/// changed so that a label in the color is readable (4.5 to 1) on a white or a dark page. Series also differ in
/// dash and marker, for print without color.
public enum Palette {
  /// Series with a color of their own; later ones begin again.
  public static let count = light.count

  private static let light = [
    "#0062a8", "#b34700", "#007254", "#97397f", "#7a5900", "#3d4a57", "#b1234b", "#4b3fb5",
  ]
  private static let dark = [
    "#66b3f2", "#ff9a57", "#45cfa2", "#e593d2", "#dcb64c", "#b9c4cf", "#ff8da1", "#aaa3fb",
  ]
  /// Stroke patterns of lines.
  private static let dashes = ["none", "6 3", "2 3", "9 3 2 3", "none", "6 3", "2 3", "9 3 2 3"]

  /// The class of a series' elements.
  static func seriesClass(_ index: Int) -> String { "s\(index % count)" }

  /// Rules for every figure, each selector under `.chart`; dark ones are for screens only, so that print is light.
  ///
  /// Colors stand in rules instead of variables, which not every converter of SVG knows.
  public static var styleSheet: String {
    """
    .chart text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
    .chart .title { font-weight: 600; font-size: 13px }
    .chart .axis { fill: #57606a } .chart .grid { stroke: #d8dee4; fill: none }
    .chart .rule { stroke: #6e7781; stroke-dasharray: 2 3; fill: none }
    .chart .line { fill: none; stroke-width: 1.4; stroke-linejoin: round } .chart .dashed { stroke-width: 1.8 }
    .chart .gap { stroke: none; fill-opacity: 0.1 }
    .chart .band { stroke: none; fill-opacity: 0.18 } .chart .error { fill: none; stroke-width: 1.2 }
    .chart .label { font-weight: 600 } .chart .leader { fill: none; stroke-width: 0.8; stroke-opacity: 0.6 }
    .chart .lost { stroke: #cf222e; stroke-width: 2; fill: none } .chart .lost-text { fill: #cf222e }
    .chart .bar-error { stroke: #1f2328; stroke-width: 1.2; fill: none }
    .chart .missing { fill: none; stroke: #d8dee4 } .chart .on-light { fill: #101010 }
    .chart .on-dark { fill: #ffffff } .chart .cell-text { font-size: 11px }
    \(rules(light))
    \(dashRules)
    @media screen and (prefers-color-scheme: dark) {
    .chart text { fill: #e6edf3 } .chart .axis { fill: #9da7b1 } .chart .grid { stroke: #3d444d }
    .chart .rule { stroke: #9da7b1 } .chart .lost { stroke: #ff7b72 } .chart .lost-text { fill: #ff7b72 }
    .chart .missing { stroke: #3d444d } .chart .bar-error { stroke: #e6edf3 } .chart .on-light { fill: #101010 }
    .chart .on-dark { fill: #ffffff } .chart .band { fill-opacity: 0.26 }
    \(rules(dark))
    }

    """
  }

  private static func rules(_ colors: [String]) -> String {
    colors.enumerated().map { index, color in
      ".chart .s\(index) .stroke { stroke: \(color) } .chart .s\(index) .fill { fill: \(color) }"
    }.joined(separator: "\n")
  }

  private static var dashRules: String {
    dashes.enumerated().filter { $0.element != "none" }.map { index, dash in
      ".chart .s\(index) .dashed { stroke-dasharray: \(dash) }"
    }.joined(separator: " ")
  }

  /// A marker around a point; its shape is that of the series.
  static func marker(_ index: Int, x: Double, y: Double) -> String {
    let r = 3.2
    func path(_ corners: [(Double, Double)]) -> String {
      let points = corners.map { "\(coordinate(x + $0.0)) \(coordinate(y + $0.1))" }
      return "<path class=\"fill\" d=\"M\(points.joined(separator: "L"))Z\"/>"
    }
    switch index % 4 {
    case 0:
      return
        "<circle class=\"fill\" cx=\"\(coordinate(x))\" cy=\"\(coordinate(y))\" r=\"\(coordinate(r))\"/>"
    case 1: return path([(-r, -r), (r, -r), (r, r), (-r, r)])
    case 2: return path([(0, -r - 1), (r + 1, r - 0.2), (-r - 1, r - 0.2)])
    default: return path([(0, -r - 1.2), (r + 1.2, 0), (0, r + 1.2), (-r - 1.2, 0)])
    }
  }
}
