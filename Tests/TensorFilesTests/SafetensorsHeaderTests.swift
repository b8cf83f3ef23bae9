import Foundation
import JSON
import TensorFiles
import Testing

/// Parses a file given as header text and a number of data bytes.
private func parse(_ json: String, data: Int = 0) throws -> SafetensorsHeader {
  try parse(Array(json.utf8), data: data)
}

private func parse(_ json: [UInt8], data: Int) throws -> SafetensorsHeader {
  let file = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  return try file.withUnsafeBytes {
    try SafetensorsHeader(parsing: $0, fileByteCount: file.count + data, source: "x.safetensors")
  }
}

/// The message of the error that `body` throws.
private func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch {
    return "\(error)"
  }
}

@Suite struct SafetensorsHeaderTests {
  /// The bytes that the Python package writes for the same two tensors.
  @Test func writesTheReferenceBytes() throws {
    let header = SafetensorsHeader(
      laidOut: [
        .init(name: "b", dataType: .bfloat16, shape: [3]),
        .init(name: "a", dataType: .float32, shape: [2, 2]),
      ], metadata: ["format": "pt"])
    let json =
      "{\"__metadata__\":{\"format\":\"pt\"},"
      + "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
      + "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}}"
    let bytes = header.encoded()
    #expect(bytes.count == 8 + 0x90)
    #expect(bytes[0] == 0x90)
    #expect(String(decoding: bytes[8...], as: UTF8.self) == json + pad(json))
    #expect(header.fileByteCount == 8 + 0x90 + 22)
    let read = try bytes.withUnsafeBytes {
      try SafetensorsHeader(parsing: $0, fileByteCount: header.fileByteCount, source: "x")
    }
    #expect(read == header)
    #expect(read["b"].map(read.fileRange) == (168..<174))
  }

  private func pad(_ json: String) -> String {
    String(repeating: " ", count: (8 - json.utf8.count % 8) % 8)
  }

  @Test func readsScalarsEmptyTensorsAndEscapes() throws {
    let header = try parse(
      #"{"e":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]},"#
        + #""s\u00e9\ud83d\ude00\n":{"shape":[],"data_offsets":[0,4],"dtype":"I32"}}  "#, data: 4)
    #expect(header.tensors.map(\.name) == ["s\u{e9}\u{1f600}\n", "e"])
    #expect(header["e"]?.count == 0)
    #expect(try parse("{}").tensors.isEmpty)
    let weird = SafetensorsHeader(
      laidOut: [.init(name: "a\"\\\n\u{1}\u{e9}", dataType: .uint8, shape: [])], metadata: [:])
    let bytes = weird.encoded()
    let read = try bytes.withUnsafeBytes {
      try SafetensorsHeader(parsing: $0, fileByteCount: bytes.count + 1, source: "x")
    }
    #expect(read == weird)
  }

  @Test(arguments: [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "does not take"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "truncated"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, "bytes of no tensor"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "belong to no tensor"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 8, "tensor a"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 8, "tensor a"),
    (#"{"a":{"dtype":"Q32","shape":[1],"data_offsets":[0,4]}}"#, 4, "Q32"),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "whole number"),
    (#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4, "whole number"),
    (#"{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}"#, 4, "expected"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, 4, "unknown field"),
    (#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, 4, "needs dtype"),
    (#"{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}"#, 4, "duplicate"),
    (#"{"__metadata__":{"k":"1","k":"1"}}"#, 0, "duplicate"),
    (#"{"__metadata__":{"k":1}}"#, 0, "expected a string"),
    (#"{"__metadata__":{},"__metadata__":{}}"#, 0, "duplicate"),
    (#"{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "surrogate"),
    (#" {}"#, 0, "starts with"),
    (#"{} x"#, 0, "after the end"),
    (#"[]"#, 0, "starts with"),
    (#""#, 0, "starts with"),
    (#"{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0, "take"),
    (#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,0]}}"#, 0, "whole"),
  ])
  func refuses(_ json: String, _ data: Int, _ reason: String) {
    let text = message { _ = try parse(json, data: data) }
    #expect(text.contains(reason), "\(text)")
    #expect(text.hasPrefix("x.safetensors: "))
  }

  @Test func refusesOverlapAndDuplicateNames() {
    func tensor(_ name: String, _ begin: Int, _ end: Int) -> String {
      "\"\(name)\":{\"dtype\":\"U8\",\"shape\":[\(end - begin)],\"data_offsets\":[\(begin),\(end)]}"
    }
    #expect(
      message { _ = try parse("{\(tensor("a", 0, 4)),\(tensor("b", 2, 6))}", data: 6) }
        .contains("tensor b: its data overlaps"))
    #expect(
      message { _ = try parse("{\(tensor("a", 0, 4)),\(tensor("a", 4, 6))}", data: 6) }
        .contains("duplicate key \"a\""))
  }

  @Test func refusesImpossibleLengths() {
    for length in [UInt64.max, 1 << 63, 100_000_001, 3] {
      let file = withUnsafeBytes(of: length.littleEndian) { Array($0) } + [0x7B, 0x7D]
      let text = message {
        _ = try file.withUnsafeBytes {
          try SafetensorsHeader(parsing: $0, fileByteCount: file.count, source: "x")
        }
      }
      #expect(text.contains("header length: \(length) bytes"), "\(text)")
    }
  }

  @Test func refusesDeepAndInvalidText() throws {
    let deep = Array(repeating: UInt8(ascii: "["), count: 1 << 20)
    #expect(message { _ = try parse(Array("{\"a\":".utf8) + deep, data: 0) }.contains("expected"))
    #expect(
      message {
        _ = try deep.withUnsafeBytes { try JSONValue(parsing: $0, source: "deep") }
      }.contains("nested"))
    #expect(message { _ = try parse([0x7B, 0x22, 0xFF, 0x22], data: 0) }.contains("UTF-8"))
    #expect(message { _ = try parse([0x7B, 0x22, 0x5C, 0x22], data: 0) }.contains("without end"))
    #expect(message { _ = try parse([0x7B, 0x22, 0x5C], data: 0) }.contains("without end"))
    #expect(message { _ = try parse([0x7B, 0x22, 0x0A, 0x22], data: 0) }.contains("control"))
  }

  /// Twenty thousand damaged headers: each is either refused or still obeys every rule.
  @Test func survivesMutatedInput() {
    let header = SafetensorsHeader(
      laidOut: (0..<4).map {
        .init(name: "layers.\($0).weight", dataType: .float32, shape: [$0, 3])
      }, metadata: ["format": "pt", "step": "12"])
    let good = header.encoded()
    var random = SystemRandomNumberGenerator()
    let start = ContinuousClock.now
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let i = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[i] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[i] = UInt8(ascii: "{}[],:\"\\09-e".unicodeScalars.randomElement() ?? "0")
        case 2: bytes.remove(at: i)
        default: bytes.insert(bytes[bytes.indices.randomElement() ?? 0], at: i)
        }
      }
      do {
        let read = try bytes.withUnsafeBytes {
          try SafetensorsHeader(
            parsing: $0, fileByteCount: bytes.count + header.dataByteCount, source: "x")
        }
        #expect(read.fileByteCount == bytes.count + header.dataByteCount)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 10_000)
    #expect(ContinuousClock.now - start < .seconds(2))
  }
}
