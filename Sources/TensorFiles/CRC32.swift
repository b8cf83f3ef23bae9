/// The checksum of zip archives: the CRC with the polynomial 0xEDB88320 (reflected), eight bytes at a
/// time.
public struct CRC32: Sendable {
  /// Eight tables of 256: what a byte becomes that is followed by 0 to 7 others.
  private static let tables: [UInt32] = {
    var tables = (0..<256).map { index in
      (0..<8).reduce(UInt32(index)) { crc, _ in crc >> 1 ^ (crc & 1 == 0 ? 0 : 0xEDB8_8320) }
    }
    for index in 256..<2048 {
      let shorter = tables[index - 256]
      tables.append(shorter >> 8 ^ tables[Int(shorter & 0xFF)])
    }
    return tables
  }()

  private var state: UInt32 = 0xFFFF_FFFF

  /// The checksum of no bytes.
  public init() {}

  /// The checksum of some bytes.
  public init(_ bytes: [UInt8]) {
    self.init()
    bytes.withUnsafeBytes { update($0) }
  }

  /// The checksum of all bytes so far.
  public var value: UInt32 { ~state }

  /// Takes further bytes.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var crc = state
    Self.tables.withUnsafeBufferPointer { tables in
      var index = 0
      while index + 8 <= bytes.count {
        let word = UInt64(
          littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        let mixed = word ^ UInt64(crc)
        crc = 0
        for place in 0..<8 {
          let byte = Int(truncatingIfNeeded: mixed >> UInt64(8 * place)) & 0xFF
          crc ^= tables[256 * (7 - place) + byte]
        }
        index += 8
      }
      while index < bytes.count {
        crc = crc >> 8 ^ tables[Int(crc & 0xFF) ^ Int(bytes[index])]
        index += 1
      }
    }
    state = crc
  }
}
