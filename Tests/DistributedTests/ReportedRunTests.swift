import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// What `statex report` says of runs that did not go straight on.
  @Suite("reports of resumed runs")
  struct ReportedRunTests {
    /// The page about a run; of its first table the cells in the run's row, by column.
    private func report(_ job: TrainingJob, _ run: String) throws -> (
      page: String, summary: [String: String]
    ) {
      let program = TrainingJob.products + "/statex"
      let page = job.directory.path + "/report.html"
      let result = try ChildProcess(
        [program, "report", job.output(run), "--output", page], directory: job.directory.path
      ).wait()
      #expect(result.code == 0 && result.stderr.isEmpty, "\(result.stderr)")
      let text = try String(contentsOfFile: page, encoding: .utf8)
      func cells(_ tag: String, _ text: Substring) -> [String] {
        text.components(separatedBy: "<\(tag) scope=\"").dropFirst().compactMap { part in
          part.split(separator: ">", maxSplits: 1).last?.split(separator: "<").first.map(
            String.init)
        }
      }
      let table = text[(try #require(text.range(of: "<table>"))).upperBound...]
      let head = cells("th", table[..<(try #require(table.range(of: "</thead>"))).lowerBound])
      let row = table[(try #require(table.range(of: "<tbody>"))).upperBound...]
        .components(separatedBy: "</tr>")[0]
      let values = row.components(separatedBy: "<td>").dropFirst().map {
        String($0.prefix { $0 != "<" })
      }
      return (text, Dictionary(uniqueKeysWithValues: zip(head.dropFirst(), values)))
    }

    /// A number of each row of the run's log.
    private func numbers(_ job: TrainingJob, _ run: String, _ name: String) throws -> [Double] {
      let data = try Data(contentsOf: URL(fileURLWithPath: job.output(run) + "/metrics.jsonl"))
      return try data.split(separator: UInt8(ascii: "\n")).map { line in
        let row = try JSONSerialization.jsonObject(with: line) as? [String: Any]
        return try #require(row?[name] as? Double)
      }
    }

    /// The heights of the points of the loss, which say how it went.
    private func curve(_ page: String) throws -> String {
      let start = try #require(page.range(of: "<figure id=\"loss\">")).upperBound
      let line = try #require(page[start...].range(of: "class=\"line stroke\" d=\"")).upperBound
      return String(page[line...].prefix { $0 != "\"" })
    }

    @Test("killed, resumed on other ranks and gone back: each step once, of the last past")
    func goesOn() throws {
      let job = try TrainingJob([
        "train.steps=12", "checkpoint.every=4", "checkpoint.keep=9", "metrics.log_every=1",
        "evaluation.every=3",
        "evaluation.tasks=[{task: mqar, pairs: 4, vocab: 64, sequence_length: 64, samples: 4}]",
      ])
      _ = try job.finish(.alone, run: "whole")
      let whole = try report(job, "whole")
      // Killed in the middle of it, and finished by two ranks.
      let process = try job.start(.alone, run: "killed")
      process.wait { job.rows("killed").count >= 6 }
      process.end()
      _ = try report(job, "killed")
      _ = try job.finish(.ranks(2), run: "killed")
      let killed = try report(job, "killed")
      for name in ["steps", "tokens", "training loss"] {
        #expect(killed.summary[name] == whole.summary[name], "\(name)")
      }
      #expect(whole.summary["steps"] == "12" && whole.summary["tokens"] == "6,144")
      #expect(try curve(killed.page) == curve(whole.page))
      let seconds = try numbers(job, "killed", "seconds").reduce(0, +)
      #expect(killed.summary["time of steps"]?.hasSuffix(" s") == true)
      let shown = Double(killed.summary["time of steps"]?.dropLast(2) ?? "") ?? .nan
      #expect(abs(shown - seconds) <= 0.05 * seconds, "\(shown) of \(seconds)")

      // Back to step 4, where it learns nothing any more and measures nothing.
      let again = try job.start(
        .alone, run: "killed",
        ["--resume", job.output("killed") + "/checkpoints/step-00000004", "train.steps=10"]
          + ["train.optimizer.lr=1e-9", "train.optimizer.min_lr=0", "evaluation.every=0"]
      ).wait()
      #expect(again.code == 0, "\(again.stderr)")
      let back = try report(job, "killed")
      let losses = try numbers(job, "killed", "loss")
      #expect(back.summary["steps"] == "10" && losses.count == 10)
      #expect(back.summary["training loss"] == String(format: "%.4f", losses[9]))
      #expect(try curve(back.page) != curve(whole.page) && !back.page.contains("Shaded"))
      // What was measured of steps 6 to 12 is that of the abandoned past.
      let evaluations = try String(
        contentsOfFile: job.output("killed") + "/evaluation.jsonl", encoding: .utf8)
      #expect(evaluations.split(separator: "\n").map { $0.prefix(12) } == ["{ \"step\": 3,"])
    }

    @Test("rolled back after a spike: each step once")
    func rollsBack() throws {
      let job = try TrainingJob([
        "data.shuffle=false", "train.schedule={kind: constant, warmup_steps: 0}",
        "checkpoint.every=5", "checkpoint.keep=9", "train.steps=20",
      ])
      let perBatch = 8 * 64
      let prefix = try job.writeTokens("text", count: 30 * perBatch + 1, vocabulary: 64) {
        $0 / perBatch == 12 ? nil : Int32($0 % 8)
      }
      _ = try job.finish(
        .alone, run: "run",
        [
          "data.sources=[{tokens: \(prefix)}]",
          "train.on_spike={policy: roll_back, window: 4, threshold: 5, steps_back: 5}",
        ])
      let found = try report(job, "run")
      let losses = try numbers(job, "run", "loss")
      #expect(losses.count == 20 && found.summary["steps"] == "20")
      #expect(try curve(found.page).split(separator: "L").count == 20)
      #expect(!found.page.contains("Shaded"))
      // The mean over the last tenth.
      let last = losses.suffix(2).reduce(0, +) / 2
      #expect(found.summary["training loss"] == String(format: "%.4f", last))
    }
  }
}
