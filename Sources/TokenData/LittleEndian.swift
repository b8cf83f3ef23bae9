extension [UInt8] {
  /// Appends an integer, its lowest byte first.
  @inline(__always)
  mutating func append(littleEndian integer: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: integer.littleEndian) { append(contentsOf: $0) }
  }
}
