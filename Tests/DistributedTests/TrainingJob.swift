import ChildPrograms
import Foundation
import Testing
import TokenData

/// Every test here starts processes: one after the other, on a machine that may have two cores.
@Suite("statex-train as a program", .serialized)
enum DistributedTests {}

extension TrainingJob {
  /// Trains from the beginning, or from where the run directory is, to the end.
  func finish(
    _ launch: Launch, run: String, _ arguments: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Outcome {
    let result = try start(launch, run: run, arguments).wait()
    #expect(result.code == 0, "\(launch): \(result.stderr)", sourceLocation: sourceLocation)
    return try outcome(run)
  }

  /// The losses of the logged steps.
  func losses(_ run: String) throws -> [Double] {
    try rows(run).map { row in
      let text = try #require(row.split(separator: ",").first { $0.contains("\"loss\"") })
      return try #require(Double(text.split(separator: " ").last ?? ""))
    }
  }

  /// What the rows say of each source of a mixture.
  func sourceNumbers(_ run: String) throws -> [[String: Double]] {
    let data = FileManager.default.contents(atPath: output(run) + "/metrics.jsonl") ?? Data()
    return try data.split(separator: UInt8(ascii: "\n")).map { line in
      let row = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Double])
      return row.filter { $0.key.contains(".") }
    }
  }

  /// The loss of the last logged step.
  func lastLoss(_ run: String) throws -> Double { try #require(losses(run).last) }
}
