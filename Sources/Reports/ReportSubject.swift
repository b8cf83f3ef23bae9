import Files
import JSON

/// A model or run that a report shows, under one name, in one color.
struct ReportSubject {
  /// What it is called in tables and figures.
  let title: String
  /// Its place among all, which decides its color.
  let index: Int
  /// The run; nil where only an evaluation was given.
  private(set) var run: RunRecord?
  /// What was measured of it at last: the evaluation that was given, else the run's last one.
  private(set) var measured: MeasuredColumn?
  private var hasOwnEvaluation = false

  /// What the arguments of a report name.
  struct Inputs {
    var subjects: [ReportSubject] = []
    var experiments: [Reproduction] = []
  }

  /// Reads the arguments of a report: PATH or NAME=PATH each; those of one NAME belong together.
  ///
  /// - Throws: `ReportError.usage` where two arguments of a name are of one kind; what reading them throws.
  static func read(_ arguments: [String]) throws -> Inputs {
    var inputs = Inputs()
    for argument in arguments {
      let (name, path) = try split(argument)
      if let experiment = try Reproduction.find(at: path) {
        inputs.experiments.append(experiment)
        continue
      }
      let run = try isRun(path) ? RunRecord(path) : nil
      let title = name ?? run?.name ?? stem(path)
      let evaluation = run == nil ? try MeasuredColumn(title: title, path: path) : nil
      if let name, let index = inputs.subjects.firstIndex(where: { $0.title == name }) {
        try inputs.subjects[index].add(run, evaluation, argument)
        continue
      }
      let isTaken = inputs.subjects.contains { $0.title == title }
      var subject = ReportSubject(title: isTaken ? path : title, index: inputs.subjects.count)
      try subject.add(run, evaluation, argument)
      inputs.subjects.append(subject)
    }
    return inputs
  }

  private init(title: String, index: Int) { (self.title, self.index) = (title, index) }

  private mutating func add(
    _ run: RunRecord?, _ evaluation: MeasuredColumn?, _ argument: String
  ) throws(ReportError) {
    guard self.run == nil || run == nil, !hasOwnEvaluation || evaluation == nil else {
      throw .usage("`\(argument)`: there is another of that kind for `\(title)`")
    }
    if let run { self.run = run }
    if let evaluation { (measured, hasOwnEvaluation) = (evaluation, true) }
    if measured == nil { measured = run?.evaluations.last?.measured }
  }

  /// The name and path of an argument; the name is nil where the whole argument is a path.
  private static func split(_ argument: String) throws(FileError) -> (String?, String) {
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, try !FileSystem.exists(argument) else { return (nil, argument) }
    return (parts[0], parts[1])
  }

  private static func isRun(_ path: String) throws -> Bool {
    guard try FileSystem.kind(of: path) == .directory else { return false }
    guard try RunRecord.isRun(path) else {
      throw ReportError.data(
        path, "not a run: it holds no recipe.yaml, metrics.jsonl, evaluation.jsonl or checkpoints")
    }
    return true
  }

  private static func stem(_ path: String) -> String {
    let name = FileSystem.name(of: path)
    return name.split(separator: ".").dropLast().joined(separator: ".").isEmpty
      ? name : name.split(separator: ".").dropLast().joined(separator: ".")
  }
}
