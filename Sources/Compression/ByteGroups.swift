import ErrorReporting

/// The bytes of numbers, sorted by their significance: first the lowest byte of each, then the next.
///
/// The high bytes of weights, which hold sign and exponent, are much alike and compress well once they lie
/// together; the low ones are noise, and are passed over quickly.
public enum ByteGroups {
  /// Sorts the bytes of numbers.
  ///
  /// - Parameters:
  ///   - numbers: `width * n` bytes, little-endian numbers; aligned to `width`.
  ///   - width: bytes of a number, 2 or 4.
  ///   - output: where the groups go, as many bytes; not the same memory.
  public static func group(
    _ numbers: UnsafeRawBufferPointer, width: Int, into output: UnsafeMutableRawBufferPointer
  ) {
    requireSizes(numbers.count, output.count, width)
    if width == 2 {
      group(numbers.assumingMemoryBound(to: UInt16.self), into: output)
    } else {
      group(numbers.assumingMemoryBound(to: UInt32.self), into: output)
    }
  }

  /// Puts numbers together again.
  ///
  /// - Parameters:
  ///   - groups: what `group` made of `count` numbers.
  ///   - width: bytes of a number, 2 or 4.
  ///   - first: the first number that is wanted.
  ///   - output: where the numbers go, aligned to `width`; its size says how many.
  public static func ungroup(
    _ groups: UnsafeRawBufferPointer, width: Int, from first: Int,
    into output: UnsafeMutableRawBufferPointer
  ) {
    require(
      first >= 0 && output.count.isMultiple(of: width)
        && first + output.count / width <= groups.count / width,
      "\(output.count) bytes from number \(first) of \(groups.count) bytes")
    if width == 2 {
      ungroup(groups, from: first, into: output.assumingMemoryBound(to: UInt16.self))
    } else {
      ungroup(groups, from: first, into: output.assumingMemoryBound(to: UInt32.self))
    }
  }

  private static func requireSizes(_ input: Int, _ output: Int, _ width: Int) {
    require(
      (width == 2 || width == 4) && input == output && input.isMultiple(of: width),
      "\(input) bytes of numbers of \(width) into \(output)")
  }

  private static func group<Number: FixedWidthInteger & UnsignedInteger>(
    _ numbers: UnsafeBufferPointer<Number>, into output: UnsafeMutableRawBufferPointer
  ) {
    guard let input = numbers.baseAddress, let start = output.baseAddress else { return }
    for byte in 0..<MemoryLayout<Number>.size {
      let group = (start + byte * numbers.count).assumingMemoryBound(to: UInt8.self)
      let shift = Number(8 * byte)
      for i in 0..<numbers.count {
        group[i] = UInt8(truncatingIfNeeded: input[i].littleEndian &>> shift)
      }
    }
  }

  private static func ungroup<Number: FixedWidthInteger & UnsignedInteger>(
    _ groups: UnsafeRawBufferPointer, from first: Int,
    into output: UnsafeMutableBufferPointer<Number>
  ) {
    guard let start = groups.baseAddress, let numbers = output.baseAddress else { return }
    let count = groups.count / MemoryLayout<Number>.size
    for byte in 0..<MemoryLayout<Number>.size {
      let group = (start + byte * count + first).assumingMemoryBound(to: UInt8.self)
      let shift = Number(8 * byte)
      if byte == 0 {
        for i in 0..<output.count { numbers[i] = Number(group[i]) }
      } else {
        for i in 0..<output.count { numbers[i] |= Number(group[i]) &<< shift }
      }
    }
    if Number(1).littleEndian != 1 {
      for i in 0..<output.count { numbers[i] = Number(littleEndian: numbers[i]) }
    }
  }
}
