import TensorFiles
import TensorStorage

/// Conversion of tensor elements between a file's type and `Float`.
///
/// Plain loops over unaligned little-endian elements, which the compiler vectorizes: they run at the
/// speed of memory.
enum ElementConversion {
  /// The types that can be read.
  static let readable: [TensorDataType] = [.float32, .bfloat16, .float16]

  /// Converts elements to `Float`, exactly.
  ///
  /// - Parameters:
  ///   - bytes: `target.count` elements, at any alignment.
  ///   - type: one of `readable`.
  ///   - target: overwritten.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, as type: TensorDataType,
    into target: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(bytes.count == target.count * type.byteCount, "sizes differ")
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
    default:
      preconditionFailure("\(type.rawValue) is not a readable type")
    }
  }

  /// Rounds to bfloat16, to nearest, ties to even; NaN stays NaN.
  static func encodeBFloat16(
    _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<UInt16>
  ) {
    for i in 0..<count { target[i] = BFloat16(source[i]).bitPattern }
  }
}
