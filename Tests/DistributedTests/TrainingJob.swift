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

extension TrainingJob {
  /// Runs the trainer and returns which samples its ranks read, up to six of them.
  ///
  /// - Parameters:
  ///   - launch: how many ranks.
  ///   - name: of the files that the ranks write.
  ///   - rank: the one that dies; -1 for none.
  ///   - sample: at which.
  /// - Returns: the launcher's exit code, and the numbers of the samples with their tokens.
  /// - Throws: what the system says when the launcher cannot be started.
  func record(
    _ launch: Launch, _ name: String, killing rank: Int, at sample: Int
  ) throws -> (code: Int32, samples: [(number: Int, tokens: [Int32])]) {
    let log = directory.path + "/" + name
    let program =
      [
        Self.products + "/training-probe", "record", log, String(rank), String(sample),
        recipePath, "run.output=" + output("run"),
      ] + settings
    let result = try ChildProcess(launch.command(program), directory: directory.path)
      .wait(limit: 120)
    let lines = (0..<6).flatMap { rank in
      let data = FileManager.default.contents(atPath: log + ".rank-\(rank)") ?? Data()
      return String(decoding: data, as: UTF8.self).split(separator: "\n")
    }
    return (
      result.code,
      try lines.map { line in
        let parts = line.split(separator: ":")
        let number = try #require(Int(parts[0]))
        return (number, parts[1].split(separator: " ").compactMap { Int32($0) })
      }
    )
  }
}
