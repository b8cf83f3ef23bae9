import Files
import JSON

/// What one argument of a report names.
enum ReportInput {
  case run(RunRecord)
  case evaluation(MeasuredColumn)
  case probe(ProbedLayers)
  case experiment(Reproduction)

  /// Finds out what is at a path, and reads it.
  ///
  /// - Throws: `FileError` when there is nothing; `ReportError.data` for anything else; what reading the parts of
  ///   a run throws.
  init(_ path: String, name: String?) throws {
    if try FileSystem.kind(of: path) == .directory {
      if let experiment = try Reproduction.find(at: path) {
        self = .experiment(experiment)
      } else if try RunRecord.isRun(path) {
        self = .run(try RunRecord(path))
      } else {
        throw ReportError.data(
          path,
          "holds no recipe.yaml, metrics.jsonl, evaluation.jsonl or checkpoints of a run, and no results.json"
        )
      }
    } else if let experiment = try Reproduction.find(at: path) {
      self = .experiment(experiment)
    } else if path.hasSuffix(".json"),
      let json = try? JSONValue(contentsOf: path, allowsNonFinite: true),
      let probe = try ProbedLayers(json, path)
    {
      self = .probe(probe)
    } else {
      self = .evaluation(try MeasuredColumn(title: name ?? "", path: path))
    }
  }
}

/// What all arguments of a report name.
struct ReportInputs {
  /// Models and runs, in the order of their first arguments.
  private(set) var subjects: [ReportSubject] = []
  /// Experiments of `make reproduce`.
  private(set) var experiments: [Reproduction] = []

  /// Reads the arguments: PATH or NAME=PATH each; those of one NAME belong together.
  ///
  /// - Throws: `ReportError.usage` where two arguments of a name are of one kind; what reading them throws.
  init(_ arguments: [String]) throws {
    for argument in arguments {
      let (name, path) = try Self.split(argument)
      let input = try ReportInput(path, name: name)
      if case .experiment(let experiment) = input {
        experiments.append(experiment)
        continue
      }
      let place = place(of: input, name: name, path: path)
      guard subjects[place].add(input) else {
        throw ReportError.usage(
          "`\(argument)`: there is another of that kind for `\(subjects[place].title)`")
      }
    }
  }

  /// The subject that an input belongs to: the one of that name, or a new one.
  private mutating func place(of input: ReportInput, name: String?, path: String) -> Int {
    if let name, let index = subjects.firstIndex(where: { $0.title == name }) { return index }
    var title = name ?? Self.stem(path)
    if name == nil, case .run(let run) = input, let own = run.name { title = own }
    if subjects.contains(where: { $0.title == title }) { title = path }
    subjects.append(ReportSubject(title: title, index: subjects.count))
    return subjects.count - 1
  }

  /// The name and path of an argument; the name is nil where the whole argument is a path.
  private static func split(_ argument: String) throws(FileError) -> (String?, String) {
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, try !FileSystem.exists(argument) else { return (nil, argument) }
    return (parts[0], parts[1])
  }

  /// The name of a file without its ending.
  private static func stem(_ path: String) -> String {
    let name = FileSystem.name(of: path)
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let stem = parts.dropLast().joined(separator: ".")
    return stem.isEmpty ? name : stem
  }
}
