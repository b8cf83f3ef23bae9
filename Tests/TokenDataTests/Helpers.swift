import Foundation
import TokenData

/// A directory that is removed with its owner.
final class TemporaryDirectory {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("token-data-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
  }

  func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: file(name))))
  }

  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}

extension FixedWidthInteger {
  /// Little-endian bytes.
  var bytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}

extension MegatronTokens {
  /// Tokens `start..<start + count` as an array.
  func array(from start: Int, count: Int, vocabularySize: Int? = nil) throws -> [Int32] {
    let buffer = UnsafeMutableBufferPointer<Int32>.allocate(capacity: count)
    defer { buffer.deallocate() }
    try read(from: start, into: buffer, vocabularySize: vocabularySize)
    return Array(buffer)
  }
}

/// A source whose samples say who wrote them: input 0 is the source, input 1 the sample.
final class LabelledSource: SampleSource {
  let sequenceLength = 2
  let sampleCount: Int?
  let requiredVocabulary = 1
  private let label: Int32

  init(_ label: Int32, sampleCount: Int?) {
    self.label = label
    self.sampleCount = sampleCount
  }

  func write(sample index: UInt64, into buffer: SampleBuffer) {
    buffer.inputs[0] = label
    buffer.inputs[1] = Int32(index)
  }
}
