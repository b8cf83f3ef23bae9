import ErrorReporting

/// Requires that two areas of `count` floats have none in common.
@inlinable
@inline(__always)
public func requireDisjoint(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int,
  _ what: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
  require(abs(a - b) >= count, "\(what()) overlap", file: file, line: line)
}
