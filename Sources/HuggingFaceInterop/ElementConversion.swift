import ErrorReporting
import TensorFiles
import TensorStorage

/// Conversion of tensor elements between a file's type and `Float`, and the search for what is no number.
///
/// Plain loops over unaligned little-endian elements, which the compiler vectorizes: they run at the
/// speed of memory.
enum ElementConversion {
  /// Elements converted at a time, few enough to stay in a cache for the search.
  static let blockCount = 1 << 15

  /// Converts elements to `Float`, exactly.
  ///
  /// - Parameters:
  ///   - bytes: `target.count` elements, at any alignment.
  ///   - type: their type.
  ///   - target: overwritten.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, as type: ElementType,
    into target: UnsafeMutableBufferPointer<Float>
  ) {
    require(
      bytes.count == target.count * type.dataType.byteCount,
      "\(bytes.count) bytes for \(target.count) elements of \(type)")
    guard let source = bytes.baseAddress, let target = target.baseAddress else { return }
    switch type {
    case .float32:
      UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: bytes.count)
    case .bfloat16:
      for i in 0..<(bytes.count / 2) {
        let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        target[i] = Float(BFloat16(bitPattern: bits))
      }
    case .float16:
      for i in 0..<(bytes.count / 2) {
        let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        target[i] = Float(Float16(bitPattern: bits))
      }
    }
  }

  /// Rounds elements to a file's type, to nearest, ties to even.
  ///
  /// - Parameters:
  ///   - source: single precision.
  ///   - type: the type to round to.
  ///   - target: overwritten with `source.count` elements.
  static func encode(
    _ source: UnsafeBufferPointer<Float>, as type: ElementType,
    into target: UnsafeMutableRawBufferPointer
  ) {
    require(
      target.count == source.count * type.dataType.byteCount,
      "\(target.count) bytes for \(source.count) elements of \(type)")
    guard let values = source.baseAddress, let target = target.baseAddress else { return }
    switch type {
    case .float32: target.copyMemory(from: values, byteCount: source.count * 4)
    case .bfloat16:
      let bits = target.bindMemory(to: UInt16.self, capacity: source.count)
      for i in 0..<source.count { bits[i] = BFloat16(values[i]).bitPattern }
    case .float16:
      let bits = target.bindMemory(to: UInt16.self, capacity: source.count)
      for i in 0..<source.count { bits[i] = Float16(values[i]).bitPattern }
    }
  }

  /// The largest magnitude that still rounds to a number of a type.
  static func largestMagnitude(_ type: ElementType) -> Float {
    switch type {
    case .float16: Float(65520).nextDown
    case .bfloat16: Float(bitPattern: 0x7F7F_7FFF)
    case .float32: .greatestFiniteMagnitude
    }
  }

  /// The first element that is no number, or one that rounds to no number of a type; nil when there is
  /// none.
  ///
  /// One pass over the values. For positive numbers bit patterns are in the order of the numbers, with
  /// infinity and then NaN last.
  static func firstBeyond(
    _ type: ElementType, _ values: UnsafeBufferPointer<Float>
  ) -> Int? {
    let limit = largestMagnitude(type)
    var largest: UInt32 = 0
    for value in values { largest = max(largest, value.magnitude.bitPattern) }
    guard largest > limit.bitPattern else { return nil }
    return values.firstIndex { !($0.magnitude <= limit) }
  }
}
