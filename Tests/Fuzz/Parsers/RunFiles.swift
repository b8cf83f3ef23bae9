import Checkpointing
import Files
import Training
import TrainingMetrics

extension FuzzTarget {
  /// `metrics.jsonl` of a run that is resumed.
  static var metricsLog: FuzzTarget {
    FuzzTarget("metrics") { room in
      let rows = (1...4).map {
        MetricsRow(
          step: $0, loss: 2.5, gradientNorm: .nan, learningRate: 1e-3, tokens: 512 * $0,
          tokensPerSecond: 10, seconds: 1
        ).json + "\n"
      }
      return Prepared(
        corpus: [Array(rows.joined().utf8), Array(rows[0].utf8) + [0, 0, 0, 10]],
        words: [rows[2], "{\"step\": 18446744073709551616}\n", "{\"step\": 9}\n"]
      ) { input in
        let path = try room.write(input, "metrics.jsonl")
        _ = try MetricsLog.hasRow(of: 3, in: path)
        var log = try MetricsLog(path: path, resumingAfter: 3)
        try log.append("{\"step\": 4}", step: 4)
        try expect(try MetricsLog.hasRow(of: 4, in: path), "an appended row is not there")
      }
    }
  }

  /// The same log, read row by row as a report does.
  static var metricsRows: FuzzTarget {
    FuzzTarget("metrics-rows") { room in
      let rows = (1...4).map {
        MetricsRow(
          step: $0, loss: $0 == 3 ? .infinity : 2.5, gradientNorm: .nan, learningRate: 1e-3,
          tokens: 512 * $0, tokensPerSecond: 10, seconds: 1, extras: [("mqar.loss", 0.5)]
        ).json + "\n"
      }
      return Prepared(
        corpus: [Array(rows.joined().utf8), Array(rows[0].utf8) + [0, 0, 0, 10]],
        words: rows + ["\"nonfinite\": {\"loss\": \"inf\"}", "{\"step\": 9}\n"]
      ) { input in
        let path = try room.write(input, "rows.jsonl")
        let names: Set = ["loss", "grad_norm", "tokens"]
        var reader = try MetricsReader(path: path, names: names)
        var last = 0
        while let row = try reader.next() {
          try expect(row.step > last, "step \(row.step) after \(last)")
          try expect(names.isSuperset(of: row.values.keys), "\(row.values.keys)")
          last = row.step
        }
      }
    }
  }

  /// `status.json` of an earlier launch.
  static var runStatus: FuzzTarget {
    FuzzTarget("status") { room in
      var status = RunStatus(runID: "r", savedStep: 3, steps: 9, ranks: 2, after: nil)
      status.failure = ("it failed", 74)
      try status.write(in: room.path)
      return Prepared(corpus: [try room.read(RunStatus.fileName)]) { input in
        try room.write(input, RunStatus.fileName)
        let (previous, _) = try RunStatus.find(in: room.path)
        var next = RunStatus(runID: "r", savedStep: 3, steps: 9, ranks: 2, after: previous)
        try next.write(in: room.path)
      }
    }
  }

  /// The lock file that another process left behind.
  static var runLock: FuzzTarget {
    FuzzTarget("lock") { room in
      let text = "{\"host\": \"a\", \"pid\": 123, \"since\": \"2026\", \"slurm_job_id\": \"7\"}\n"
      return Prepared(corpus: [Array(text.utf8)]) { input in
        try room.write(input, ".lock")
        try RunLock(run: room.path).release()
      }
    }
  }
}
