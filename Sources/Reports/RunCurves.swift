import Charts
import TrainingMetrics

/// The numbers of a run over its tokens, thinned to what a figure can show.
struct RunCurves {
  /// Mean loss in nats a token.
  private(set) var loss = ThinnedSeries()
  /// Global gradient norm before clipping.
  private(set) var gradientNorm = ThinnedSeries()
  /// Tokens a second of all ranks.
  private(set) var throughput = ThinnedSeries()
  /// Rows of the log.
  private(set) var rows = 0
  /// The last row's step, and the tokens trained on by then.
  private(set) var (steps, tokens) = (0, 0)
  /// Seconds of all steps; those between logged ones count like the logged one after them.
  private(set) var seconds = 0.0

  /// Reads a run's `metrics.jsonl`.
  ///
  /// - Throws: `MetricsError`.
  init(path: String) throws(MetricsError) {
    let names: Set = ["loss", "grad_norm", "tokens", "tokens_per_second", "seconds"]
    var reader = try MetricsReader(path: path, names: names)
    while let row = try reader.next() {
      let values = row.values
      let logged = values["tokens"] ?? .nan
      let place = logged.isFinite ? logged : Double(row.step)
      loss.append(x: place, y: values["loss"] ?? .nan)
      gradientNorm.append(x: place, y: values["grad_norm"] ?? .nan)
      if let speed = values["tokens_per_second"] { throughput.append(x: place, y: speed) }
      seconds += (values["seconds"] ?? 0) * Double(row.step - steps)
      rows += 1
      steps = row.step
      // A damaged number must not end the program.
      tokens = abs(place) < 0x1p62 ? Int(place) : tokens
    }
  }

  /// The mean loss of the last tenth of the rows, nil where none is finite.
  var lastLoss: Double? { Self.lastTenth(loss) }

  /// The same of the throughput.
  var lastThroughput: Double? { Self.lastTenth(throughput) }

  private static func lastTenth(_ series: ThinnedSeries) -> Double? {
    let bins = series.bins.suffix(max(series.bins.count / 10, 1)).filter { $0.finiteRows > 0 }
    let rows = bins.reduce(0) { $0 + $1.finiteRows }
    guard rows > 0 else { return nil }
    return bins.reduce(0) { $0 + $1.y * Double($1.finiteRows) } / Double(rows)
  }
}
