import Files
import Foundation
import Testing
import TrainingMetrics

/// Reading metrics back, row by row.
@Suite struct MetricsReaderTests {
  private let path = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString

  private func rows(_ text: String, _ names: Set<String> = ["loss"]) throws -> [MetricsReader.Row] {
    defer { try? FileManager.default.removeItem(atPath: path) }
    try FileReplacement.write(Array(text.utf8), to: path)
    var reader = try MetricsReader(path: path, names: names)
    var rows: [MetricsReader.Row] = []
    while let row = try reader.next() { rows.append(row) }
    return rows
  }

  @Test func whatTheLogWritesIsRead() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    var log = try MetricsLog(path: path, resumingAfter: 0)
    for step in 1...3 {
      try log.append(
        MetricsRow(
          step: step, loss: step == 2 ? .infinity : 0.1, gradientNorm: .nan, learningRate: 1,
          tokens: step * 10, tokensPerSecond: 5, seconds: 2))
    }
    var reader = try MetricsReader(path: path, names: ["loss", "grad_norm", "tokens"])
    let first = try #require(try reader.next())
    #expect(first.step == 1 && first.values["loss"] == 0.1 && first.values["tokens"] == 10)
    #expect(first.values["grad_norm"]?.isNaN == true && first.values["seconds"] == nil)
    #expect(try reader.next()?.values["loss"] == .infinity)
    #expect(try reader.next()?.step == 3)
    #expect(try reader.next() == nil)
  }

  @Test func whatACrashLeftIsPassedOver() throws {
    #expect(try rows("").isEmpty)
    let good = "{\"step\": 1, \"loss\": 2}\n"
    #expect(try rows(good + "{\"step\": 2, \"lo").map(\.step) == [1])
    #expect(try rows(good + "{\"step\": 2, \"loss\": 1}").map(\.step) == [1, 2])
    #expect(try rows(good + "\0\0\0\n\0\0{\"step\": 3, \"loss\": 1}\n").map(\.step) == [1, 3])
    #expect(try rows("{\"step\": 4, \"lr\": 1}\n")[0].values.isEmpty)
  }

  @Test func ofAStepThatAppearsAgainTheLaterRowCounts() throws {
    func joined(_ steps: [Int]) throws -> [[Double]] {
      let lines = steps.enumerated().map { "{\"step\": \($1), \"loss\": \($0)}\n" }
      return try rows(lines.joined()).map { [Double($0.step), $0.values["loss"] ?? .nan] }
    }
    #expect(try joined([1, 2, 3, 2, 3, 4]) == [[1, 0], [2, 3], [3, 4], [4, 5]])
    #expect(try joined([1, 2, 2, 2, 5]) == [[1, 0], [2, 3], [5, 4]])
    // Rows of later steps are of another past, though nothing took their place.
    #expect(try joined([1, 5, 9, 5]) == [[1, 0], [5, 3]])
    #expect(try joined([4, 8, 6, 9, 2, 7]) == [[2, 4], [7, 5]])
    #expect(try joined([1, 2, 3, 1]) == [[1, 3]])
    // What was torn returns nowhere.
    #expect(
      try rows("{\"step\": 1}\n{\"step\": 2}\n{\"step\": 1").map(\.step) == [1, 2])
  }

  @Test(arguments: [
    "nothing", "{\"step\": 2}{}", "{\"loss\": 1}", "{\"loss\": 1, \"step\": 1}", "",
  ])
  func otherLinesAreRefused(_ line: String) throws {
    let text = "{\"step\": 1, \"loss\": 2}\n" + line + "\n{\"step\": 9}\n"
    #expect { try rows(text) } throws: { error in
      (error as? MetricsError)?.description.contains(":2: not a row") == true
    }
  }
}
