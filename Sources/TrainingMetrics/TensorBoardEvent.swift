/// One record of a TensorBoard event file: TensorFlow's `Event` message, encoded by hand.
///
/// The few fields that scalars need: `Event` {1 wall_time: double, 2 step: int64, 3 file_version:
/// string, 5 summary, 7 session_log}, `Summary` {1 value: repeated {1 tag, 2 simple_value: float}},
/// `SessionLog` {1 status: enum, START = 1}.
package struct TensorBoardEvent {
  /// The record's contents.
  package enum Content {
    /// The format; the first record of a file.
    case version
    /// The run starts here: readers discard what earlier files say about this step and later ones.
    case start
    case scalars([(tag: String, value: Float)])
  }

  private let wallTime: Double
  private let step: Int
  private let content: Content

  /// Creates a record; `wallTime` in seconds since 1970.
  package init(wallTime: Double, step: Int, _ content: Content) {
    self.wallTime = wallTime
    self.step = step
    self.content = content
  }

  /// The framed record: length, its checksum, payload, its checksum; all little-endian.
  package var record: [UInt8] {
    let payload = message
    let length = bytes(of: UInt64(payload.count))
    return length + bytes(of: CRC32C.masked(length)) + payload
      + bytes(of: CRC32C.masked(payload))
  }

  private var message: [UInt8] {
    var message: [UInt8] = [Wire.fixed64.key(1)] + bytes(of: wallTime.bitPattern)
    if step != 0 {
      message += [Wire.varint.key(2)] + varint(step)
    }
    switch content {
    case .version:
      message += Wire.delimited.field(3, Array("brain.Event:2".utf8))
    case .start:
      message += Wire.delimited.field(7, [Wire.varint.key(1), 1])
    case .scalars(let scalars):
      let values = scalars.flatMap { tag, value in
        Wire.delimited.field(
          1,
          Wire.delimited.field(1, Array(tag.utf8))
            + [Wire.fixed32.key(2)] + bytes(of: value.bitPattern))
      }
      message += Wire.delimited.field(5, values)
    }
    return message
  }
}

/// Protocol buffers' wire types.
private enum Wire: UInt8 {
  case varint = 0
  case fixed64 = 1
  case delimited = 2
  case fixed32 = 5

  /// The key of a field whose number is below 16.
  func key(_ field: UInt8) -> UInt8 { field << 3 | rawValue }

  /// A field with its length before it.
  func field(_ field: UInt8, _ payload: [UInt8]) -> [UInt8] {
    [key(field)] + TrainingMetrics.varint(payload.count) + payload
  }
}

private func bytes<Word: FixedWidthInteger>(of word: Word) -> [UInt8] {
  (0..<Word.bitWidth / 8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
}

/// Seven bits a byte, low ones first.
private func varint(_ value: Int) -> [UInt8] {
  var rest = UInt64(bitPattern: Int64(value))
  var result: [UInt8] = []
  while rest >= 0x80 {
    result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
    rest >>= 7
  }
  return result + [UInt8(rest)]
}
