// Is every id inside a vocabulary? One pass over the token file, at the speed of memory or disk.

extension MegatronTokens {
  /// Requires that all tokens, or those at some positions, are inside a vocabulary.
  ///
  /// Reads the stored tokens once and allocates nothing.
  ///
  /// - Parameters:
  ///   - positions: which tokens; all if nil.
  ///   - vocabularySize: every id must be below it.
  ///   - isInterrupted: asked between stretches of the file; once it says true the rest is left out.
  /// - Returns: the bytes read; 0 where ids of 16 bits cannot lie outside.
  /// - Throws: `.invalid`, naming the first id outside the vocabulary, its position and its document.
  @discardableResult
  public func checkIDs(
    _ positions: Range<Int>? = nil, vocabularySize: Int, isInterrupted: () -> Bool = { false }
  ) throws(TokenDataError) -> Int {
    guard element != .uint16 || vocabularySize <= Int(UInt16.max) else { return 0 }
    let positions = positions ?? 0..<tokenCount
    var position = positions.lowerBound
    while position < positions.upperBound, !isInterrupted() {
      let stretch = stored(from: position, count: min(positions.upperBound - position, 1 << 20))
      if largestID(stretch) >= UInt32(clamping: vocabularySize) {
        try refuse(position, stretch.count / element.byteCount, vocabularySize: vocabularySize)
      }
      position += stretch.count / element.byteCount
    }
    return positions.count * element.byteCount
  }

  /// The largest id, negative ones counting as the largest; nil without tokens.
  ///
  /// Reads the stored tokens once and allocates nothing.
  public func largestID() -> UInt32? {
    var best: UInt32?
    var position = 0
    while position < tokenCount {
      let stretch = stored(from: position, count: min(tokenCount - position, 1 << 20))
      best = max(best ?? 0, largestID(stretch))
      position += stretch.count / element.byteCount
    }
    return best
  }

  /// The largest of stored ids, negative ones counting as the largest.
  private func largestID(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    switch element {
    case .uint16: UInt32(largest(bytes, lanes: SIMD32<UInt16>.self))
    case .int32: largest(bytes, lanes: SIMD16<UInt32>.self)
    }
  }

  /// Throws what reading the tokens would.
  private func refuse(
    _ position: Int, _ count: Int, vocabularySize: Int
  ) throws(TokenDataError) {
    let tokens = UnsafeMutableBufferPointer<Int32>.allocate(capacity: count)
    defer { tokens.deallocate() }
    try read(from: position, into: tokens, vocabularySize: vocabularySize)
  }
}

/// The largest of stored numbers, many at a time.
private func largest<Lanes: SIMD>(
  _ bytes: UnsafeRawBufferPointer, lanes: Lanes.Type
) -> Lanes.Scalar where Lanes.Scalar: FixedWidthInteger {
  let (width, size) = (MemoryLayout<Lanes>.size, MemoryLayout<Lanes.Scalar>.size)
  var best = Lanes(repeating: 0)
  var offset = 0
  while offset + width <= bytes.count {
    let next = bytes.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
    best.replace(with: next, where: next .> best)
    offset += width
  }
  var result = best.max()
  while offset < bytes.count {
    result = max(result, bytes.loadUnaligned(fromByteOffset: offset, as: Lanes.Scalar.self))
    offset += size
  }
  return result
}
