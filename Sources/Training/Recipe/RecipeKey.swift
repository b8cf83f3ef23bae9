import ErrorReporting

/// What one key of a recipe is, for a person: the row of a table and the answer of `statex help recipe`.
public struct RecipeKey: Sendable, Equatable {
  /// The dotted path, for example `train.optimizer.lr`.
  public var path: String
  /// What is written there, for example `integer`.
  public var type: String
  /// What it counts, or empty.
  public var unit = ""
  /// Its value where it is left out; `required` where there is none.
  public var standard: String
  /// The values that it may have, or empty for all of its type.
  public var range = ""
  /// What it means, in half a sentence.
  public var meaning: String

  /// The same key below another.
  func below(_ parent: String) -> RecipeKey {
    var key = self
    key.path = parent + "." + path
    return key
  }

  /// The heads of the table's columns.
  static let heads = ["key", "type", "unit", "default", "range", "meaning"]

  /// The cells of the key's row.
  var cells: [String] { ["`\(path)`", type, unit, standard, range, meaning] }

  /// A Markdown table of keys; columns that are empty throughout are left out.
  public static func table(_ keys: [RecipeKey]) -> String {
    let rows = keys.map(\.cells)
    let columns = heads.indices.filter { column in rows.contains { !$0[column].isEmpty } }
    func line(_ cells: [String]) -> String {
      "| " + columns.map { cells[$0] }.joined(separator: " | ") + " |"
    }
    let rule = "|" + String(repeating: "---|", count: columns.count)
    return ([line(heads), rule] + rows.map(line)).joined(separator: "\n")
  }

  /// The key on a few lines, for a terminal.
  public var text: String {
    let plain = { (text: String) in text.filter { $0 != "`" } }
    var lines = ["\(path)  (\(plain(type))\(unit.isEmpty ? "" : ", \(unit)"))"]
    lines.append("  " + plain(meaning))
    lines.append(
      "  default: " + plain(standard) + (range.isEmpty ? "" : "; range: " + plain(range)))
    return lines.joined(separator: "\n")
  }
}

extension Recipe {
  /// The keys of the recipe's sections, in the order in which a recipe is written; `source` and `task`
  /// are those of one entry of `data.sources` and of `evaluation.tasks`.
  public static var keysBySection: [(section: String, keys: [RecipeKey])] {
    [
      ("run", Run.described(below: "run")), ("model", Model.described),
      ("expansion", Expansion.described(below: "expansion")),
      ("data", DataPlan.described(below: "data")), ("source", Source.described),
      ("train", Train.described(below: "train")),
      ("parallel", Parallel.described(below: "parallel")),
      ("checkpoint", Checkpoint.described(below: "checkpoint")),
      ("evaluation", Evaluation.described(below: "evaluation")),
      ("task", Evaluation.TaskPlan.described),
      ("metrics", Metrics.described(below: "metrics")),
    ]
  }

  /// What a key, or every key below it, is; nil for a path that no recipe has.
  ///
  /// - Parameter path: for example `train.optimizer`; empty for all keys.
  /// - Returns: the descriptions, or nil and the nearest path that exists.
  public static func help(on path: String) -> (text: String?, nearest: String?) {
    var keys: [RecipeKey] = []
    for (section, described) in keysBySection {
      switch section {
      case "source": keys += described.map { $0.below("data.sources.N") }
      case "task": keys += described.map { $0.below("evaluation.tasks.N") }
      default: keys += described
      }
    }
    let generic = path.split(separator: ".").map { Int($0) == nil ? String($0) : "N" }
      .joined(separator: ".")
    let found = keys.filter {
      generic.isEmpty || $0.path == generic || $0.path.hasPrefix(generic + ".")
    }
    guard found.isEmpty else { return (found.map(\.text).joined(separator: "\n"), nil) }
    let known = keys.map(\.path)
    let named = known.filter { $0.split(separator: ".").last == path.split(separator: ".").last }
    return (nil, named.first ?? nearestName(to: path, among: known))
  }
}
