import Checkpointing
import Compression
import Foundation
import TensorStorage
import Testing

/// Manifests that are whole, their checksum right, and claim what cannot be.
@Suite struct ClaimTests {
  /// What opening and verifying says of a checkpoint whose manifest was rewritten.
  private func complaint(_ changes: (of: String, with: String)...) throws -> String {
    let run = try TemporaryRun(inMemory: true)
    try run.save(Sample(sizes: [[5, 13], [100]], seed: 1), step: 5, shards: 1)
    let path = run.stepPath(5) + "/manifest.json"
    var text = String(decoding: try bytes(path), as: UTF8.self)
    for (part, other) in changes {
      let changed = text.replacing(try Regex(part), with: other)
      #expect(changed != text, "\(part) is not there")
      text = changed
    }
    var manifest = Array(text.utf8)
    let digits = (manifest.count - 20)..<(manifest.count - 4)
    manifest.replaceSubrange(digits, with: [UInt8](repeating: 0x30, count: 16))
    let sum = XXH64.hexadecimal(manifest.withUnsafeBytes { XXH64.hash($0) })
    manifest.replaceSubrange(digits, with: sum.utf8)
    try write(manifest, path)
    return complaints(run.stepPath(5))
  }

  private static let most = "9223372036854775807"

  @Test func sumsAndProductsThatOverflowNameFileAndField() throws {
    let tensor = #""shape": \[5, 13\]"#
    for (shape, reason) in [
      ("[\(Self.most), 2]", "must be at most 281474976710656"),
      ("[4294967296, 4294967296]", "has more elements than any machine holds"),
      ("[281474976710656, 281474976710656, 0]", "has more elements than any machine holds"),
    ] {
      let text = try complaint((tensor, "\"shape\": \(shape)"))
      #expect(text.contains("manifest.json: `tensors.0.shape`: \(reason)"), "\(text)")
    }
    let sums = [
      ("raw_bytes", #""raw_bytes": \d+(?=,\n +"raw_xx)"#), ("bytes", #""bytes": \d+(?=,\n +"xx)"#),
      ("index", #""index": 0"#),
    ]
    for (field, pattern) in sums {
      let text = try complaint((pattern, "\"\(field)\": \(Self.most)"))
      #expect(text.contains("manifest.json: `shards.0.\(field)`: must be at most"), "\(text)")
    }
    for field in ["first", "elements"] {
      let text = try complaint(
        (#"""# + field + #"": \d+(?=,?\n? *"?[eF}\n])"#, "\"\(field)\": \(Self.most)"))
      #expect(text.contains("manifest.json: `") && text.contains("\(field)`: must be"), "\(text)")
    }
    let step = try complaint((#""step": 5(?=,\n *"stores)"#, "\"step\": \(Self.most)"))
    #expect(step.contains("manifest.json: `step`: must be at most"), "\(step)")
  }

  @Test func aFileCannotHoldMoreThanItsBytesAllow() throws {
    let text = try complaint(
      (#""raw_bytes": \d+(?=,\n +"raw_xx)"#, "\"raw_bytes\": 70368744177664"))
    #expect(
      text.contains("`shards.0.raw_bytes`: is more than") && text.contains("can hold"), "\(text)")
  }

  @Test func bucketsWithoutNumberAreRefused() throws {
    let text = try complaint(
      (#""bucket": \d+"#, "\"bucket\": 1"), (#""unit": \d+"#, "\"unit\": 1"),
      (#""shape": \[100\]"#, "\"shape\": [100000000]"),
      (#""elements": 192"#, "\"elements\": 100000080"))
    #expect(text.contains("`partition`: is not a bucket of a number of units"), "\(text)")
  }

  @Test func aHugeTensorIsRefusedBeforeItIsLaidOut() throws {
    let text = try complaint(
      (#""shape": \[100\]"#, "\"shape\": [1099511627776]"),
      (#""elements": 192"#, "\"elements\": 1099511627856"))
    #expect(text.contains("raw_bytes: is ") && text.contains("the tensors take more"), "\(text)")
  }
}
