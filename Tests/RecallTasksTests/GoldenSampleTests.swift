import Fields
import Foundation
import RecallTasks
import Testing
import TokenData

/// Samples as they have always been: a run that is resumed, and a report that is compared with an older
/// one, rely on them.
///
/// `Tests/Fixtures/recall/golden.txt` has the hashes. `STATEX_WRITE_GOLDEN=1` adds those of new samples to it;
/// it never changes one.
@Suite struct GoldenSampleTests {
  struct Golden: Sendable, CustomTestStringConvertible {
    var name: String
    var options: FieldValue = [:]
    var length: Int
    /// Tells golden values of the same name and length apart.
    var variant = ""

    var testDescription: String { "\(name) \(length)" + (variant.isEmpty ? "" : " " + variant) }
  }

  static let all: [Golden] = [
    Golden(name: "mqar", length: 64),
    Golden(name: "mqar", options: ["pairs": [2, 5], "vocab": 99], length: 40),
    Golden(
      name: "mqar", options: ["layout": "dense", "pairs": [4, 8], "vocab": 64, "values": 9],
      length: 33),
    Golden(name: "markov", length: 50),
    Golden(name: "copying", length: 64),
    Golden(name: "selective_copying", options: ["tokens": 5, "vocab": 9], length: 31),
    Golden(name: "passkey", length: 700),
    Golden(name: "passkey", options: ["questions": 3], length: 900),
    Golden(name: "passkey", options: ["fill": "stuffed-mamba"], length: 1024),
    Golden(name: "phonebook", length: 900),
    Golden(name: "phonebook", options: ["entries": 7, "questions": 4], length: 700),
    Golden(name: "niah_single_1", length: 1100),
    Golden(name: "niah_single_1", options: ["questions": 4], length: 2100),
    Golden(name: "niah_multikey_2", length: 1300),
    Golden(name: "niah_multikey_2", options: ["questions": 2], length: 1900),
    Golden(name: "niah_multikey_3", length: 1700),
    Golden(name: "mqar", options: ["updates": 3, "vocab": 64], length: 48),
    Golden(
      name: "mqar", options: ["layout": "dense", "pairs": [3, 6], "updates": 2, "vocab": 64],
      length: 47),
    Golden(name: "copying", options: ["form": "s4"], length: 61),
    Golden(name: "selective_copying", options: ["form": "s4", "tokens": 5], length: 60),
    Golden(name: "string_copying", length: 120),
    Golden(
      name: "string_copying", options: ["mode": "prefix_lookup", "answer": 4], length: 140,
      variant: "prefix"),
    Golden(
      name: "string_copying", options: ["mode": "suffix_lookup"], length: 140, variant: "suffix"),
    Golden(name: "phonebook", options: ["entries": [5, 9]], length: 701),
    Golden(name: "phonebook", options: ["entries": "fill"], length: 1003),
    Golden(name: "phonebook", options: ["entries": "fill", "questions": 5], length: 1004),
    Golden(name: "text_copying", length: 901),
    Golden(
      name: "text_copying", options: ["words": [8, 20], "order": "random"], length: 800),
    Golden(name: "classification", length: 900),
    Golden(
      name: "classification",
      options: ["demonstrations": [0, 9], "classes": 5, "words": 20, "length": 5, "questions": 4],
      length: 1000),
    Golden(name: "niah_single_2", length: 1501),
    Golden(name: "niah_single_2", options: ["questions": 3], length: 2503),
    Golden(name: "niah_single_3", length: 1502),
    Golden(name: "niah_multikey_1", length: 1503),
    Golden(name: "niah_multivalue", length: 1504),
    Golden(name: "niah_multivalue", options: ["questions": 2], length: 2504),
    Golden(name: "niah_multiquery", length: 1805),
    Golden(name: "niah_multiquery", options: ["questions": 2], length: 3505),
    Golden(name: "niah_near_miss", length: 1806),
    Golden(
      name: "niah_near_miss", options: ["near": 3, "distance": 2, "questions": 4], length: 1906),
  ]

  /// SHA-256 over samples 0, 1 and 1000 of training and sample 5 of evaluation.
  @Test(arguments: all)
  func samplesNeverChange(_ golden: Golden) throws {
    var text = ""
    for (stream, indices) in [
      (SampleStream.training, [0, 1, 1000] as [UInt64]), (.evaluation, [5]),
    ] {
      let task = try source(
        golden.name, golden.options, length: golden.length, seed: 11, stream: stream,
        tokenizer: ByteTokenizer())
      for index in indices {
        let sample = try SampleArrays(task, index)
        text += "\(sample.inputs) \(sample.targets) \(sample.weights)\n"
      }
    }
    try Self.compare("samples of \(golden.testDescription)", text)
  }

  /// SHA-256 over questions 0 and 6 of 7.
  @Test(arguments: all)
  func questionsNeverChange(_ golden: Golden) throws {
    let configuration = try RecallTaskConfiguration(name: golden.name, options: golden.options)
    guard configuration.needsTokenizer else { return }
    let task = try configuration.makeGenerationTask(
      sequenceLength: golden.length, seed: 11, tokenizer: ByteTokenizer())
    let text = try [0, 6].map { index in
      let item = try task.item(index, of: 7)
      return "\(item.prompt)\n\(item.answers) \(item.maximumNewTokens)\n"
    }
    try Self.compare("questions of \(golden.testDescription)", text.joined())
  }

  private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/recall/golden.txt")

  private static func compare(_ key: String, _ text: String) throws {
    let lines = try String(contentsOf: file, encoding: .utf8)
    let hash = sha256(text)
    if let line = lines.split(separator: "\n").first(where: { $0.hasPrefix(key + ": ") }) {
      #expect(line.dropFirst(key.count + 2) == hash)
    } else if ProcessInfo.processInfo.environment["STATEX_WRITE_GOLDEN"] != nil {
      try (lines + key + ": " + hash + "\n").write(to: file, atomically: true, encoding: .utf8)
    } else {
      Issue.record("no golden value of the \(key); write it with STATEX_WRITE_GOLDEN=1")
    }
  }
}
