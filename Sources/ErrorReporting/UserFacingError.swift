/// An error that is reported to users: one line, and the exit code of its class.
///
/// Every room's error conforms where it is declared, so code that catches errors (commands, and ranks
/// that agree on one) needs no list of rooms.
public protocol UserFacingError: Error, CustomStringConvertible {
  /// 64 bad usage or recipe, 65 bad input data, 70 internal, 74 input or output failed.
  var exitCode: Int32 { get }
}
