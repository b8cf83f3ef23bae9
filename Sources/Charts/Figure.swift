/// What lies within an error to either side of a number; nil where either is not finite, or the error negative, as a file may
/// have them.
public func spread(around value: Double, _ error: Double?) -> ClosedRange<Double>? {
  guard value.isFinite, let error, error >= 0, error.isFinite else { return nil }
  return value - error...value + error
}

/// A drawn figure: what stands between the tags of an SVG element, and its size.
public struct Figure: Sendable, Equatable {
  /// Its file's name without an ending: lower-case letters, digits and hyphens.
  public internal(set) var name: String
  /// What it shows, for readers who cannot see it.
  public let summary: String
  /// What stands below it on a page.
  public var caption: String
  /// Width in pixels at scale 1.
  public let width: Double
  /// Height in pixels at scale 1.
  public let height: Double
  /// Elements of SVG.
  let body: String

  /// The usual width.
  public static let standardWidth = 460.0

  /// The figure as an element of a page that has `Palette.styleSheet`.
  public var inline: String { element(attributes: "", style: "") }

  /// The figure as a file of its own.
  public var file: String {
    let size = "width=\"\(coordinate(width))\" height=\"\(coordinate(height))\" "
    return element(attributes: size, style: "<style>\n\(Palette.styleSheet)</style>\n")
  }

  /// How the surroundings of a number are drawn.
  enum SpreadMark: Equatable {
    case band
    case errorBar
  }

  /// A caption with what the marks around numbers are, where there are any.
  static func caption(_ text: String, _ marks: [SpreadMark], _ spread: String?) -> String {
    guard let spread, !marks.isEmpty else { return text }
    let name =
      !marks.contains(.errorBar)
      ? "Bands" : marks.contains(.band) ? "Bands and error bars" : "Error bars"
    return "\(text) \(name): \(spread)."
  }

  private func element(attributes: String, style: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" class="chart" \(attributes)viewBox="0 0 \(coordinate(width)) \
    \(coordinate(height))" role="img" aria-label="\(escaped(summary))">
    <title>\(escaped(summary))</title>
    \(style)\(body)
    </svg>

    """
  }
}
