import Files
import Foundation
import Testing
import TrainingMetrics

private func row(_ step: Int, loss: Double = 2.5) -> MetricsRow {
  MetricsRow(
    step: step, loss: loss, gradientNorm: 1, learningRate: 3e-4, tokens: step * 256,
    tokensPerSecond: 1000, seconds: 0.25)
}

/// Calls `body` with a path in a new folder, which is deleted afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

private func read(_ path: String) throws -> String {
  try String(contentsOfFile: path, encoding: .utf8)
}

private func lines(_ steps: ClosedRange<Int>) -> String {
  steps.map { row($0).json + "\n" }.joined()
}

@Suite struct MetricsRowTests {
  @Test func keysStandInTheDocumentedOrder() {
    var row = row(3)
    row.extras = [("mfu", 0.5), ("odd \"name\"\n", 1)]
    #expect(
      row.json
        == #"{"step": 3, "loss": 2.5, "grad_norm": 1.0, "lr": 0.0003, "tokens": 768, "#
        + #""tokens_per_second": 1000.0, "seconds": 0.25, "mfu": 0.5, "odd \"name\"\n": 1.0}"#)
  }

  @Test(
    arguments: [
      0.1, -0.0, 1 / 3, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 2.000_000_000_000_000_4,
      1e21,
      123_456_789,
    ] as [Double])
  func numbersReadBackToTheSameBits(value: Double) throws {
    let text = row(1, loss: value).json
    _ = try JSONSerialization.jsonObject(with: Data(text.utf8))
    let digits = try #require(text.firstMatch(of: /"loss": ([^,]+),/)).output.1
    let loss = try #require(Double(digits))
    #expect(loss.bitPattern == value.bitPattern)
  }

  @Test func numbersThatJSONLacksAreNullAndFlagged() throws {
    var row = row(1, loss: .nan)
    row.gradientNorm = -.infinity
    #expect(row.json.contains(#""loss": null, "grad_norm": null, "#))
    #expect(row.json.hasSuffix(#", "nonfinite": {"loss": "nan", "grad_norm": "-inf"}}"#))
    _ = try JSONSerialization.jsonObject(with: Data(row.json.utf8))
  }
}

@Suite struct MetricsLogTests {
  @Test func rowsAreAppendedAndAResumedLogHasEveryStepOnce() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      var first = try MetricsLog(path: path, resumingAfter: 0)
      for step in 1...7 { try first.append(row(step)) }
      try first.synchronize()
      var second = try MetricsLog(path: path, resumingAfter: 4)
      #expect(second.droppedRows == 3)
      #expect(try read(path) == lines(1...4))
      for step in 5...9 { try second.append(row(step)) }
      #expect(try read(path) == lines(1...9))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["metrics.jsonl"])
    }
  }

  @Test func aLogThatNeedsNoRepairKeepsItsFile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      try lines(1...3).write(toFile: path, atomically: true, encoding: .utf8)
      func inode() throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
      }
      let before = try inode()
      let log = try MetricsLog(path: path, resumingAfter: 3)
      #expect(log.droppedRows == 0)
      #expect(try inode() == before)
    }
  }

  @Test func aLineTornAnywhereIsRepaired() throws {
    let whole = lines(1...3)
    let lastLine = row(3).json.utf8.count + 1
    for cut in 1...lastLine {
      try withTemporaryFolder { folder in
        let path = folder + "/metrics.jsonl"
        try Data(whole.utf8.dropLast(cut)).write(to: URL(fileURLWithPath: path))
        var log = try MetricsLog(path: path, resumingAfter: 3)
        // Only the newline is gone when one byte is cut: the row itself is whole.
        if cut > 1 { try log.append(row(3)) }
        try log.append(row(4))
        #expect(try read(path) == lines(1...4), "cut \(cut)")
      }
    }
  }

  @Test(arguments: [EIO, ESTALE, EMFILE, EACCES])
  func aLogThatCannotBeReadStaysAsItIs(code: Int32) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      try lines(1...3).write(toFile: path, atomically: true, encoding: .utf8)
      // As often as reading is tried, on a busy file system: the log could be opened and written to right
      // after.
      var refusals = code == EACCES ? 1 : 4
      #expect(throws: MetricsError.self) {
        try FileFaults { _, failing in
          guard failing == path, refusals > 0 else { return nil }
          refusals -= 1
          return .fail(code)
        }.during { _ = try MetricsLog(path: path, resumingAfter: 3) }
      }
      #expect(try read(path) == lines(1...3))
    }
  }

  @Test func rowsOfOtherKindsAreReplacedByStepToo() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/evaluation.jsonl"
      let rows = [10, 20, 30].map { #"{ "step": \#($0), "tasks": {"a": 1} }"# }
      for (row, step) in zip(rows, [10, 20, 30]) {
        var log = try MetricsLog(path: path, resumingAfter: step - 1)
        try log.append(row, step: step)
      }
      var log = try MetricsLog(path: path, resumingAfter: 19)
      try log.append(rows[1], step: 20)
      #expect(try read(path) == rows[0] + "\n" + rows[1] + "\n")
      try "not a row\n".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(throws: MetricsError.malformed(path: path, line: 1)) {
        _ = try MetricsLog(path: path, resumingAfter: 9)
      }
      #expect(try read(path) == "not a row\n")
    }
  }

  @Test func aNewRunStartsWithAnEmptyLog() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      try lines(1...3).write(toFile: path, atomically: true, encoding: .utf8)
      let log = try MetricsLog(path: path, resumingAfter: 0)
      #expect(log.droppedRows == 3)
      #expect(try read(path).isEmpty)
    }
  }

  @Test func ofStepsThatStandTwiceTheLaterRowCounts() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      let twice = lines(1...4) + row(3, loss: 9).json + "\n" + row(4, loss: 9).json + "\n"
      try twice.write(toFile: path, atomically: true, encoding: .utf8)
      _ = try MetricsLog(path: path, resumingAfter: 4)
      #expect(
        try read(path)
          == lines(1...2) + row(3, loss: 9).json + "\n" + row(4, loss: 9).json + "\n")
    }
  }

  /// After a crash of the machine: zeros for blocks that were not on the disk yet.
  @Test func zerosAreLeftOutAndCounted() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      let zeros = String(repeating: "\0", count: 300)
      for (contents, kept) in [
        (lines(1...2) + zeros + lines(5...6), lines(1...2) + lines(5...6)),
        (lines(1...2) + zeros + "\n" + lines(5...6), lines(1...2) + lines(5...6)),
        (lines(1...2) + zeros, lines(1...2)),
      ] {
        try contents.write(toFile: path, atomically: true, encoding: .utf8)
        let log = try MetricsLog(path: path, resumingAfter: 9)
        #expect(log.zeroedPlaces == 1)
        #expect(try read(path) == kept)
      }
      #expect(try MetricsLog(path: path, resumingAfter: 9).zeroedPlaces == 0)
    }
  }

  @Test func aForeignFileIsRefusedAndLeftAlone() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/metrics.jsonl"
      let text = row(1).json + "\nsomething else\n" + row(2).json + "\n"
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      #expect(throws: MetricsError.malformed(path: path, line: 2)) {
        _ = try MetricsLog(path: path, resumingAfter: 2)
      }
      #expect(MetricsError.malformed(path: path, line: 2).exitCode == 65)
      #expect(try read(path) == text)
    }
  }

  @Test func failuresNameThePathAndTheReason() throws {
    do {
      _ = try MetricsLog(path: "/nowhere/metrics.jsonl", resumingAfter: 0)
      Issue.record("no error")
    } catch {
      #expect(error.exitCode == 74)
      #expect(
        error.description == "cannot open /nowhere/metrics.jsonl: No such file or directory")
    }
  }
}

@Suite struct ThroughputTests {
  @Test func onlyTheWindowCounts() {
    var throughput = Throughput(window: 2)
    #expect(throughput.tokensPerSecond == 0)
    throughput.record(tokens: 1, seconds: 1000)
    throughput.record(tokens: 100, seconds: 1)
    throughput.record(tokens: 300, seconds: 3)
    #expect(throughput.tokensPerSecond == 100)
  }
}
