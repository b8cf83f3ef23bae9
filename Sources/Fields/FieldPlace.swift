/// Where a value was written, for error messages.
public enum FieldPlace: Sendable, Hashable, CustomStringConvertible {
  /// A line of a file, counted from 1.
  case line(file: String, Int)
  /// A file whose lines are not known, or what stands for one, such as an argument.
  case source(String)

  /// An override on the command line, as written.
  public static func override(_ text: String) -> FieldPlace { .source("override `\(text)`") }

  /// Made by the program, not written by anyone.
  public static let program = FieldPlace.source("value")

  /// `file:line`, or the source.
  public var description: String {
    switch self {
    case .line(let file, let line): "\(file):\(line)"
    case .source(let name): name
    }
  }
}
