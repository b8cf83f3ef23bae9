/// A model or run that a report shows, under one name, in one color.
struct ReportSubject {
  /// What it is called in tables and figures.
  let title: String
  /// Its place among all, which decides its color.
  let index: Int
  /// The run; nil where only an evaluation was given.
  private(set) var run: RunRecord?
  /// What was probed of it, layer by layer.
  private(set) var probe: ProbedLayers?
  /// What was measured of it, sample by sample.
  private(set) var log: MeasuredColumn?
  private var evaluation: MeasuredColumn?

  /// What was measured of it at last: the evaluation that was given, a report before a log, else the run's last one.
  var measured: MeasuredColumn? { evaluation ?? log ?? run?.evaluations.last?.measured }

  /// A subject of which nothing is known yet.
  init(title: String, index: Int) { (self.title, self.index) = (title, index) }

  /// Adds what an argument named.
  ///
  /// - Returns: false where there is something of that kind already, which stays.
  mutating func add(_ input: ReportInput) -> Bool {
    switch input {
    case .run(let run) where self.run == nil: self.run = run
    case .evaluation(let log) where log.log != nil:
      guard self.log == nil else { return false }
      self.log = log
    case .evaluation(let evaluation) where self.evaluation == nil: self.evaluation = evaluation
    case .probe(let probe) where self.probe == nil: self.probe = probe
    default: return false
    }
    return true
  }
}
