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
  /// Where rows are missing.
  private(set) var gaps = LogGaps()

  /// Reads a run's `metrics.jsonl`, each step once.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - logEvery: steps from row to row.
  /// - Throws: `MetricsError`.
  init(path: String, logEvery: Int) throws(MetricsError) {
    let names: Set = ["loss", "grad_norm", "tokens", "tokens_per_second", "seconds"]
    var reader = try MetricsReader(path: path, names: names)
    gaps = LogGaps(every: logEvery)
    while let row = try reader.next() {
      let values = row.values
      let logged = values["tokens"] ?? .nan
      let place = logged.isFinite ? logged : Double(row.step)
      loss.append(x: place, y: values["loss"] ?? .nan)
      gradientNorm.append(x: place, y: values["grad_norm"] ?? .nan)
      if let speed = values["tokens_per_second"] { throughput.append(x: place, y: speed) }
      seconds += (values["seconds"] ?? 0) * Double(row.step - steps)
      gaps.append(step: row.step, x: place)
      rows += 1
      steps = row.step
      // A damaged number must not end the program.
      tokens = abs(place) < 0x1p62 ? Int(place) : tokens
    }
    gaps.end()
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

/// Steps whose rows a log ought to have and has not, as after a crash of the machine.
///
/// A log has a row for the first step, for every `every`-th, and for some between. A distance between rows that skips one of
/// these is a gap, unless a distance beside it is the same: then the run logged less often there.
struct LogGaps {
  /// Steps without rows, and the places of the rows around them.
  struct Gap: Equatable {
    let steps: ClosedRange<Int>
    let places: ClosedRange<Double>
  }

  /// The first ones, in order.
  private(set) var gaps: [Gap] = []
  /// How many there are.
  private(set) var count = 0
  private let every: Int
  /// The last rows, at most three.
  private var last: [(step: Int, x: Double)] = []

  /// Gaps that are kept.
  private static let kept = 20

  /// No row yet.
  init(every: Int = 1) { self.every = max(every, 1) }

  /// Takes the next row; of a distance it is known one row later whether it is a gap.
  mutating func append(step: Int, x: Double) {
    last.append((step, x))
    if last.count > 4 { last.removeFirst() }
    if last.count > 2 { look(at: last.count - 2) }
  }

  /// Takes note that there are no more rows.
  mutating func end() {
    if last.count > 1 { look(at: last.count - 1) }
  }

  /// Decides about the distance that ends at a row of `last`.
  private mutating func look(at index: Int) {
    let (from, to) = (last[index - 1], last[index])
    guard (to.step - 1) / every > from.step / every else { return }
    let distance = to.step - from.step
    let before = index > 1 ? from.step - last[index - 2].step : nil
    let after = index + 1 < last.count ? last[index + 1].step - to.step : nil
    guard before != distance, after != distance else { return }
    // The first step has a row wherever the next one stands.
    if from.step == 1, (after ?? to.step) == to.step { return }
    count += 1
    guard gaps.count < Self.kept, from.x <= to.x else { return }
    gaps.append(Gap(steps: (from.step + 1)...(to.step - 1), places: from.x...to.x))
  }
}
