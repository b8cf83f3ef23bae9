import ErrorReporting

/// What is wrong with a field that was read: where it stands, its key, and what to write instead.
///
/// A room makes it one of its own errors, which has the exit code of what was read.
public struct FieldError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Problem: Sendable, Equatable {
    /// A key that nothing reads; `known` are those that exist here.
    case unknownKey(known: [String])
    /// A key that must be given and is not.
    case missing
    /// A value of the wrong kind.
    case wrongType(expected: String, found: String)
    /// A value of the right kind that is not allowed, by itself or beside another one.
    case invalid(String)
  }

  /// Where it stands.
  public let place: FieldPlace
  /// The key with those above it, for example `train.optimizer.lr`; empty for a whole document.
  public let path: String
  /// What is wrong.
  public let problem: Problem

  /// Names the parts.
  public init(place: FieldPlace, path: String, _ problem: Problem) {
    self.place = place
    self.path = path
    self.problem = problem
  }

  /// One line: where, which key, what is wrong and what to do.
  public var description: String {
    switch problem {
    case .unknownKey(let known):
      let key = path.split(separator: ".").last.map(String.init) ?? path
      let hint =
        nearestName(to: key, among: known).map { "; did you mean `\($0)`?" }
        ?? (known.isEmpty ? "" : "; known here: " + known.joined(separator: ", "))
      return "\(place): unknown key `\(path)`\(hint)"
    case .missing:
      return "\(place): the required key `\(path)` is missing"
    case .wrongType(let expected, let found):
      return "\(subject): expected \(expected), found \(found)"
    case .invalid(let reason):
      return "\(subject): \(reason)"
    }
  }

  private var subject: String { path.isEmpty ? "\(place)" : "\(place): `\(path)`" }
}

/// A room's error that can be one about a field.
public protocol FieldErrorConvertible: UserFacingError {
  /// The error about a field, unchanged.
  static func field(_ error: FieldError) -> Self
}

extension FieldErrorConvertible {
  /// The value of `body`, whose errors about fields become the room's.
  public static func reading<Value>(
    _ body: () throws(FieldError) -> Value
  ) throws(Self) -> Value {
    do { return try body() } catch { throw .field(error) }
  }
}
