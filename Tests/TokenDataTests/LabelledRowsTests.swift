import Compression
import Fields
import Files
import RecallTasks
import Testing
import TokenData

@Suite struct LabelledRowsTests {
  private static let tasks: [(String, FieldValue)] = [
    ("mqar", ["vocab": 70_000, "keys": 100, "values": 100]), ("mqar", ["vocab": 64, "updates": 2]),
    ("selective_copying", ["form": "s4", "tokens": 5]), ("markov", [:]), ("string_copying", [:]),
  ]

  private func make(
    _ task: any SampleSource, rows: Int, in directory: TemporaryDirectory
  ) throws -> String {
    let prefix = directory.file("rows")
    let writer = try LabelledRowsWriter(
      prefix: prefix, rowCount: rows, rowLength: task.sequenceLength,
      vocabularySize: task.requiredVocabulary)
    let row = SampleBatch(sampleCount: 1, sequenceLength: task.sequenceLength)
    for index in 0..<rows {
      try task.write(sample: UInt64(index), into: row[0])
      try writer.append(row[0])
    }
    #expect(try directory.names.allSatisfy { $0.contains("partial") }, "nothing before the end")
    #expect(try writer.finish() == rows * task.sequenceLength)
    return prefix
  }

  private func copying(rows: Int, in directory: TemporaryDirectory) throws -> String {
    let task = try RecallTaskConfiguration(name: "copying", options: ["tokens": 3]).makeSource(
      sequenceLength: 10, seed: 1, stream: .training)
    return try make(task, rows: rows, in: directory)
  }

  /// Files are the task's own samples: what is read, what counts, and what is to be predicted there.
  @Test(arguments: tasks.indices)
  func rowsAreTheTasksSamples(_ number: Int) throws {
    let (name, options) = Self.tasks[number]
    let directory = try TemporaryDirectory()
    let task = try RecallTaskConfiguration(name: name, options: options).makeSource(
      sequenceLength: 64, seed: 1, stream: .training)
    let prefix = try make(task, rows: 9, in: directory)
    #expect(try LabelledRows.exist(prefix))
    for length in [64, 192] {
      let rows = try LabelledRows(
        MegatronTokens(prefix: prefix), sequenceLength: length,
        vocabularySize: task.requiredVocabulary)
      #expect(rows.sampleCount == 9 * 64 / length && rows.rowLength == 64)
      let sample = SampleBatch(sampleCount: 1, sequenceLength: length, tracksDocuments: true)
      let row = SampleBatch(sampleCount: 1, sequenceLength: 64)
      for index in 0..<(9 * 64 / length) {
        try rows.write(sample: UInt64(index), into: sample[0])
        if let history = sample[0].history { rows.writeHistory(sample: 0, into: history) }
        for position in 0..<length {
          let (own, t) = (index * length / 64 + position / 64, position % 64)
          if t == 0 { try task.write(sample: UInt64(own), into: row[0]) }
          #expect(sample.inputs[position] == row.inputs[t])
          #expect(sample.weights[position] == row.weights[t])
          #expect(row.weights[t] == 0 || sample.targets[position] == row.targets[t])
          #expect(sample.targets[position] >= 0)
          #expect(sample[0].history?[position] == Int32(t))
        }
      }
    }
  }

  /// The bytes that the documentation gives.
  @Test func theLayoutIsTheDocumentedOne() throws {
    let directory = try TemporaryDirectory()
    _ = try copying(rows: 2, in: directory)
    let bytes = try directory.read("rows.labels")
    #expect(Array(bytes[..<8]) == Array("STXLABEL".utf8))
    #expect(Array(bytes[8..<32]) == [1, 10, 2].flatMap { UInt64($0).bytes })
    #expect(bytes.count == 32 + 4 * 20 + 8)
    let labels = stride(from: 32, to: 112, by: 4).map { offset in
      bytes[offset..<(offset + 4)].reversed().reduce(Int32(0)) { $0 << 8 | Int32($1) }
    }
    // Seven positions ask for nothing, the last three for the content.
    #expect(labels[..<7].allSatisfy { $0 == -100 } && labels[10..<17].allSatisfy { $0 == -100 })
    #expect(labels[7..<10].allSatisfy { (0..<14).contains($0) })
    let hash = try directory.read("rows.bin").withUnsafeBytes { XXH64.hash($0) }
    #expect(Array(bytes[112...]) == hash.bytes)
  }

  @Test(arguments: [
    (0, "magic: not a file of labels"), (8, "version: is 254"), (16, "size: 2 rows of"),
    (24, "size: "), (36, "label 1: id"), (115, "hash: the labels are not of"), (-1, "size: "),
    (-4, "size: "),
  ])
  func damagedLabelsAreRefused(_ place: Int, _ message: String) throws {
    let directory = try TemporaryDirectory()
    let prefix = try copying(rows: 2, in: directory)
    var bytes = try directory.read("rows.labels")
    if place < 0 { bytes.removeLast(-place) } else { bytes[place] ^= 0xFF }
    if place == 36 { bytes[39] = 0x7F }
    try directory.write(bytes, to: "rows.labels")
    do {
      _ = try LabelledRows(
        MegatronTokens(prefix: prefix), sequenceLength: 10, vocabularySize: 16)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".hasPrefix(prefix + ".labels: " + message), "\(error)")
      #expect(error.exitCode == 65)
    }
  }

  @Test func labelsOfOtherTokensAreRefused() throws {
    let directory = try TemporaryDirectory()
    let prefix = try copying(rows: 2, in: directory)
    let writer = try MegatronWriter(prefix: prefix, vocabularySize: 16)
    try writer.append([Int32](repeating: 3, count: 20))
    try writer.finish()
    #expect(throws: TokenDataError.self) {
      try LabelledRows(MegatronTokens(prefix: prefix), sequenceLength: 10, vocabularySize: 16)
    }
  }

  @Test(arguments: [5, 15, 30])
  func aLengthThatCutsRowsIsRefused(_ length: Int) throws {
    let directory = try TemporaryDirectory()
    let prefix = try copying(rows: 2, in: directory)
    #expect(throws: TokenDataError.self) {
      try LabelledRows(MegatronTokens(prefix: prefix), sequenceLength: length, vocabularySize: 16)
    }
  }
}
