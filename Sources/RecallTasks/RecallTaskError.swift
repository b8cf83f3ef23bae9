import ErrorReporting

/// What can be wrong with a request for a recall task.
public enum RecallTaskError: UserFacingError, Equatable {
  /// There is no task of that name.
  case unknownTask(name: String, nearest: String)
  /// The task has no option of that name.
  case unknownOption(task: String, option: String, nearest: String, known: [String])
  /// The option's value cannot be used.
  case invalidOption(task: String, option: String, reason: String)
  /// The task works on text and no tokenizer was given.
  case tokenizerNeeded(task: String)
  /// The shortest prompt is longer than the sequence.
  case doesNotFit(task: String, needed: Int, sequenceLength: Int)
  /// The task cannot be scored by generating text.
  case notAGenerationTask(task: String)

  /// One line: what, where, and what to do.
  public var description: String {
    switch self {
    case .unknownTask(let name, let nearest):
      "task '\(name)' is not known; did you mean '\(nearest)'?"
    case .unknownOption(let task, let option, let nearest, let known):
      "task \(task): unknown option '\(option)'; did you mean '\(nearest)'? "
        + "Known options: \(known.joined(separator: ", "))"
    case .invalidOption(let task, let option, let reason):
      "task \(task): option '\(option)' \(reason)"
    case .tokenizerNeeded(let task):
      "task \(task) works on text: give a tokenizer"
    case .doesNotFit(let task, let needed, let sequenceLength):
      "task \(task): the shortest row has \(needed) tokens, more than the "
        + "\(sequenceLength) of the sequence; use a longer sequence"
    case .notAGenerationTask(let task):
      "task \(task) is scored on tokens, not on generated text"
    }
  }

  /// The exit code of a command that fails with this error: bad usage or recipe.
  public var exitCode: Int32 { 64 }
}

/// The element of `names` with the smallest edit distance to `name`; empty when there is none.
package func nearestName(to name: String, among names: [String]) -> String {
  names.min { editDistance(name, $0) < editDistance(name, $1) } ?? ""
}

/// Levenshtein's distance: insertions, deletions and replacements cost 1.
package func editDistance(_ first: String, _ second: String) -> Int {
  let columns = Array(second.utf8)
  var row = Array(0...columns.count)
  for (i, character) in first.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in columns.indices {
      let replaced = diagonal + (character == columns[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[columns.count]
}
