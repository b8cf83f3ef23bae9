/// Ends the program with a message when something that the code relies on does not hold.
///
/// Like `precondition`, but release builds print the message too, so it can name the sizes that do not fit.
/// It is for errors of the program, never for input. A check costs a comparison: the message is put together
/// only when it fails.
@inlinable
@inline(__always)
public func require(
  _ condition: Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition { fatalError(message(), file: file, line: line) }
}
