/// An error that users are told: one line, and the exit code of its class.
///
/// Every room's error conforms where it is declared, so that whoever catches one, commands and
/// agreeing ranks alike, needs no list of rooms.
public protocol UserFacingError: Error, CustomStringConvertible {
  /// 64 bad usage or recipe, 65 bad input data, 70 internal, 74 input or output failed.
  var exitCode: Int32 { get }
}
